// The script verb: given operations, done by bbolt, in the given transactions.
package main

import (
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// step is one transaction, or a close and open of the file.
type step struct {
	Ops      []op `json:"ops"`
	Rollback bool `json:"rollback"`
	Reopen   bool `json:"reopen"`
}

// op writes below the bucket at Path; for createBucket, deleteBucket and setSequence Path names the bucket itself.
// The empty path is the root bucket.
type op struct {
	Kind     string   `json:"kind"`
	Path     [][]byte `json:"path"`
	Key      []byte   `json:"key"`
	Value    []byte   `json:"value"`
	Sequence string   `json:"sequence"`
}

type refusal struct {
	Index   int    `json:"index"` // among the operations of all steps
	Error   string `json:"error"`
	Message string `json:"message"`
}

func writeOptions(req request) *bolt.Options {
	return &bolt.Options{
		PageSize:       req.PageSize,
		FreelistType:   bolt.FreelistType(req.Freelist),
		NoFreelistSync: req.NoFreelistSync,
		NoSync:         true,
		Timeout:        defaultLockTimeout,
	}
}

func runScript(req request) (any, error) {
	db, err := bolt.Open(req.Path, 0o600, writeOptions(req))
	if err != nil {
		return nil, err
	}
	defer func() { db.Close() }()
	refusals := []refusal{}
	index := 0
	for _, step := range req.Steps {
		if step.Reopen {
			if err := db.Close(); err != nil {
				return nil, err
			}
			if db, err = bolt.Open(req.Path, 0o600, writeOptions(req)); err != nil {
				return nil, err
			}
			continue
		}
		refused, err := runStep(db, step, index)
		if err != nil {
			return nil, err
		}
		refusals = append(refusals, refused...)
		index += len(step.Ops)
	}
	return map[string]any{"refused": refusals}, db.Close()
}

// runStep runs one transaction; an operation that bbolt refuses is noted and the others go on.
func runStep(db *bolt.DB, step step, first int) (refused []refusal, err error) {
	tx, err := db.Begin(true)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	for i, op := range step.Ops {
		if err := apply(tx, op); err != nil {
			known := faultOf(err)
			refused = append(refused, refusal{first + i, known.Name, known.Message})
		}
	}
	if step.Rollback {
		return refused, nil
	}
	return refused, tx.Commit()
}

func apply(tx *bolt.Tx, op op) error {
	switch op.Kind {
	case "put":
		return put(tx, op)
	case "delete":
		if bucket := find(tx, op.Path); bucket != nil {
			return bucket.Delete(op.Key)
		}
		return nil
	case "createBucket":
		return createBucket(tx, op.Path)
	case "deleteBucket":
		return deleteBucket(tx, op.Path)
	case "setSequence":
		sequence, err := strconv.ParseUint(op.Sequence, 10, 64)
		if err != nil {
			return err
		}
		bucket, err := reach(tx, op.Path)
		if err != nil {
			return err
		}
		return bucket.SetSequence(sequence)
	}
	return fmt.Errorf("unknown operation %q", op.Kind)
}

// put looks at the key first, so that a refused put leaves no new buckets behind.
func put(tx *bolt.Tx, op op) error {
	if len(op.Key) == 0 {
		return berrors.ErrKeyRequired
	}
	if len(op.Key) > bolt.MaxKeySize {
		return berrors.ErrKeyTooLarge
	}
	bucket, err := reach(tx, op.Path)
	if err != nil {
		return err
	}
	return bucket.Put(op.Key, op.Value)
}

func createBucket(tx *bolt.Tx, path [][]byte) error {
	if len(path) == 0 {
		return berrors.ErrBucketNameRequired
	}
	last := len(path) - 1
	if len(path[last]) == 0 {
		return berrors.ErrBucketNameRequired
	}
	parent, err := reach(tx, path[:last])
	if err != nil {
		return err
	}
	_, err = parent.CreateBucket(path[last])
	return err
}

func deleteBucket(tx *bolt.Tx, path [][]byte) error {
	if len(path) == 0 {
		return berrors.ErrBucketNameRequired
	}
	last := len(path) - 1
	parent := find(tx, path[:last])
	if parent == nil {
		return berrors.ErrBucketNotFound
	}
	return parent.DeleteBucket(path[last])
}

func find(tx *bolt.Tx, path [][]byte) *bolt.Bucket {
	bucket := tx.Cursor().Bucket()
	for _, name := range path {
		if bucket = bucket.Bucket(name); bucket == nil {
			return nil
		}
	}
	return bucket
}

// reach finds the bucket and creates what is missing of its path.
func reach(tx *bolt.Tx, path [][]byte) (*bolt.Bucket, error) {
	for _, name := range path {
		if len(name) == 0 {
			return nil, berrors.ErrBucketNameRequired
		}
	}
	bucket := tx.Cursor().Bucket()
	for _, name := range path {
		var err error
		if bucket, err = bucket.CreateBucketIfNotExists(name); err != nil {
			return nil, err
		}
	}
	return bucket, nil
}
