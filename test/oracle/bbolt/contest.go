// The foreign program that competes for a file: waits for its lock, writes one key, and looks into which file.
package main

import (
	"errors"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

type contest struct {
	Written bool     `json:"written"`
	Stale   bool     `json:"stale"`   // what it wrote into has no name any more
	Refused []string `json:"refused"` // why it could not open what it had waited for, each time
}

// writeKey tries again when what it gets is no database: a program that is restarted does the same.
func writeKey(req request) (any, error) {
	result := contest{Refused: []string{}}
	for deadline := time.Now().Add(lockTimeout(req)); time.Now().Before(deadline); {
		err := writeKeyOnce(req, time.Until(deadline), &result)
		if err == nil {
			result.Written = true
			return result, nil
		}
		if errors.Is(err, berrors.ErrTimeout) || os.IsNotExist(err) {
			break
		}
		result.Refused = append(result.Refused, faultOf(err).Name)
	}
	return result, nil
}

func writeKeyOnce(req request, timeout time.Duration, result *contest) error {
	var file *os.File
	remember := func(name string, flag int, mode os.FileMode) (opened *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	db, err := open(req.Path, &bolt.Options{NoFreelistSync: true, OpenFile: remember}, timeout)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return put(tx, op{Path: [][]byte{[]byte("b")}, Key: []byte(req.Key), Value: []byte(req.Key)})
	})
	if err == nil {
		result.Stale, err = hasLostItsName(file, req.Path)
	}
	return errors.Join(err, db.Close())
}

// hasLostItsName has to be asked while the lock is held.
func hasLostItsName(file *os.File, path string) (bool, error) {
	held, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	return err == nil && !os.SameFile(held, named), err
}
