// The generate verb: a random database, the same content for the same seed, with every shape the format knows.
package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

type generate struct {
	Seed          uint64 `json:"seed"`
	Count         int    `json:"count"`         // operations
	ValueBytesMax int    `json:"valueBytesMax"` // of the rare overflow values
	FreePages     int    `json:"freePages"`     // at least so many free pages in the end
}

const opsPerTransaction = 100

func runGenerate(req request) (any, error) {
	db, err := bolt.Open(req.Path, 0o600, writeOptions(req))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	g := newGenerator(req.Generate)
	for done := 0; done < req.Generate.Count; done += opsPerTransaction {
		if err := db.Update(func(tx *bolt.Tx) error {
			return g.run(tx, min(opsPerTransaction, req.Generate.Count-done))
		}); err != nil {
			return nil, err
		}
	}
	if err := freePages(db, req.Generate.FreePages); err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return dump(req.Path, "")
}

type generator struct {
	random        *rand.Rand
	valueBytesMax int
}

func newGenerator(options generate) *generator {
	limit := options.ValueBytesMax
	if limit == 0 {
		limit = 200 << 10
	}
	return &generator{rand.New(rand.NewPCG(options.Seed, 0)), limit}
}

func (g *generator) run(tx *bolt.Tx, count int) error {
	for range count {
		op := g.op()
		err := apply(tx, op)
		switch {
		case err == nil:
		case faultOf(err).Name == "ErrBucketExists", faultOf(err).Name == "ErrBucketNotFound":
		default:
			return fmt.Errorf("%s: %w", op.Kind, err)
		}
	}
	return nil
}

func (g *generator) op() op {
	path := g.path()
	switch dice := g.random.IntN(100); {
	case dice < 68:
		return op{Kind: "put", Path: path, Key: g.key(), Value: g.value()}
	case dice < 88:
		return op{Kind: "delete", Path: path, Key: g.key()}
	case dice < 93:
		return op{Kind: "createBucket", Path: append(path, []byte("empty-"+strconv.Itoa(g.random.IntN(9))))}
	case dice < 95 && len(path) > 1:
		return op{Kind: "deleteBucket", Path: path}
	default:
		return op{Kind: "setSequence", Path: path, Sequence: strconv.FormatUint(g.random.Uint64(), 10)}
	}
}

// path prefers few big buckets, so that there are trees of several levels beside the small and inline ones.
func (g *generator) path() [][]byte {
	path := [][]byte{[]byte("bucket-" + strconv.Itoa(g.skewed(12)))}
	for len(path) < 6 && g.random.IntN(4) == 0 {
		path = append(path, []byte("nested-"+strconv.Itoa(g.random.IntN(4))))
	}
	return path
}

func (g *generator) skewed(limit int) int {
	return g.random.IntN(1 + g.random.IntN(limit))
}

// key is a short text, a binary number or, rarely, as long as a key may become in a small page and more.
func (g *generator) key() []byte {
	switch dice := g.random.IntN(200); {
	case dice == 0:
		return g.bytes(1 + g.random.IntN(3000))
	case dice < 120:
		return []byte(fmt.Sprintf("key-%05d", g.random.IntN(3000)))
	default:
		return binary.BigEndian.AppendUint64([]byte{0}, g.random.Uint64N(2000))
	}
}

func (g *generator) value() []byte {
	switch dice := g.random.IntN(300); {
	case dice == 0:
		return g.bytes(g.random.IntN(g.valueBytesMax + 1))
	case dice < 20:
		return []byte{}
	case dice < 60:
		return g.bytes(g.random.IntN(1 + min(2000, g.valueBytesMax)))
	default:
		return g.bytes(g.random.IntN(1 + min(120, g.valueBytesMax)))
	}
}

func (g *generator) bytes(length int) []byte {
	result := make([]byte, length)
	for i := range result {
		result[i] = byte(g.random.Uint32())
	}
	if length > 0 && result[0] == 0 {
		result[0] = 1
	}
	return result
}

// freePages makes the free list long: one value of that many pages, deleted again.
func freePages(db *bolt.DB, count int) error {
	if count == 0 {
		return nil
	}
	name, key := [][]byte{[]byte("freed")}, []byte("run")
	value := make([]byte, count*db.Info().PageSize)
	if err := db.Update(func(tx *bolt.Tx) error {
		return apply(tx, op{Kind: "put", Path: name, Key: key, Value: value})
	}); err != nil {
		return err
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		return apply(tx, op{Kind: "delete", Path: name, Key: key})
	}); err != nil {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error { return nil }) // releases what the delete left pending
}
