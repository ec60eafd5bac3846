// The verbs of a worker that read a file: check, dump, info, and the one that clears its free pages.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	defaultLockTimeout = 200 * time.Millisecond
	errorsMax          = 100
)

type verdict struct {
	OK     bool     `json:"ok"`
	Errors []string `json:"errors"`
}

// work does not recover from a panic: it may have left a lock behind, and the death of a worker is an answer too.
func work(req request) (any, error) {
	switch req.Verb {
	case "check":
		return check(req)
	case "dump":
		return dump(req.Path, req.Out)
	case "info":
		return readInfo(req.Path)
	case "clearFree":
		return clearFree(req.Path)
	case "script":
		return runScript(req)
	case "generate":
		return runGenerate(req)
	}
	return nil, fmt.Errorf("%w %q", errUnknownVerb, req.Verb)
}

func lockTimeout(req request) time.Duration {
	if req.TimeoutMs > 0 {
		return time.Duration(req.TimeoutMs) * time.Millisecond
	}
	return defaultLockTimeout
}

func open(path string, options *bolt.Options, timeout time.Duration) (*bolt.DB, error) {
	options.Timeout = timeout
	if _, err := os.Stat(path); err != nil {
		return nil, err // bbolt would create it
	}
	return bolt.Open(path, 0o600, options)
}

// view runs read in one read transaction.
func view(path string, read func(*bolt.Tx) error) error {
	db, err := open(path, &bolt.Options{ReadOnly: true, NoStatistics: true}, defaultLockTimeout)
	if err != nil {
		return err
	}
	return errors.Join(db.View(read), db.Close())
}

// check is bbolt's own verdict; a file that bbolt cannot open is a bad one, a file that is locked or absent is an error.
func check(req request) (any, error) {
	found := []string{}
	err := view(req.Path, func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			if len(found) < errorsMax {
				found = append(found, err.Error())
			}
		}
		return nil
	})
	if os.IsNotExist(err) || errors.Is(err, berrors.ErrTimeout) {
		return nil, err
	}
	if err != nil {
		found = append(found, err.Error())
	}
	return verdict{len(found) == 0, found}, nil
}

type info struct {
	PageSize   int   `json:"pageSize"`
	Pages      int   `json:"pages"` // ever allocated
	FreePages  int   `json:"freePages"`
	TxID       int   `json:"txid"`
	FileBytes  int64 `json:"fileBytes"`
	InUseBytes int   `json:"inUseBytes"`
}

func readInfo(path string) (any, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	result := info{FileBytes: stat.Size()}
	err = eachPage(path, func(db *bolt.DB, tx *bolt.Tx, _ int, free bool) error {
		result.PageSize, result.TxID = db.Info().PageSize, tx.ID()
		result.Pages = int(tx.Size()) / result.PageSize
		if free {
			result.FreePages++
		}
		return nil
	})
	result.InUseBytes = (result.Pages - result.FreePages) * result.PageSize
	return result, err
}

// clearFree overwrites the free pages with zeros: the same database, but one that compresses.
func clearFree(path string) (any, error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cleared := 0
	err = eachPage(path, func(db *bolt.DB, _ *bolt.Tx, id int, free bool) error {
		if !free {
			return nil
		}
		cleared++
		size := db.Info().PageSize
		_, err := file.WriteAt(make([]byte, size), int64(id)*int64(size))
		return err
	})
	return map[string]int{"cleared": cleared}, err
}

// eachPage visits every free page and the first page of every run in use.
func eachPage(path string, visit func(db *bolt.DB, tx *bolt.Tx, id int, free bool) error) error {
	options := &bolt.Options{ReadOnly: true, PreLoadFreelist: true}
	db, err := open(path, options, defaultLockTimeout)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		for id := 0; ; id++ {
			page, err := tx.Page(id)
			if err != nil || page == nil {
				return err
			}
			free := page.Type == "free"
			overflow := page.OverflowCount // of a free page it is stale
			if err := visit(db, tx, id, free); err != nil {
				return err
			}
			if !free {
				id += overflow
			}
		}
	})
}
