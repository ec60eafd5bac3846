// The canonical dump: what a database says, whatever its pages look like.
//
// Depth first, in byte order of the keys, starting with the content of the root bucket:
//
//	key    'K' u32le(key length) u32le(value length) key value
//	bucket 'B' u32le(name length) u64le(sequence) name, its content, 'E'
//
// The hash of a database is the SHA-256 of that stream.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

type summary struct {
	SHA256  string `json:"sha256"`
	Keys    int    `json:"keys"`
	Buckets int    `json:"buckets"`
	Bytes   int64  `json:"bytes"` // of all keys, values and names
	Depth   int    `json:"depth"` // of the deepest bucket; a top-level bucket has 1
}

type dumper struct {
	summary
	hash hash.Hash
	out  *bufio.Writer
}

// dump hashes the file and, if out is not empty, writes the stream to it.
func dump(path, out string) (any, error) {
	sink := io.Discard
	if out != "" {
		file, err := os.Create(out)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		sink = file
	}
	d := &dumper{hash: sha256.New()}
	d.out = bufio.NewWriterSize(io.MultiWriter(d.hash, sink), 1<<18)
	if err := view(path, func(tx *bolt.Tx) error { return d.content(tx.Cursor().Bucket(), 0) }); err != nil {
		return nil, err
	}
	if err := d.out.Flush(); err != nil {
		return nil, err
	}
	d.SHA256 = hex.EncodeToString(d.hash.Sum(nil))
	return d.summary, nil
}

func (d *dumper) content(bucket *bolt.Bucket, depth int) error {
	d.Depth = max(d.Depth, depth)
	return bucket.ForEach(func(key, value []byte) error {
		if value == nil {
			if child := bucket.Bucket(key); child != nil {
				return d.bucket(key, child, depth+1)
			}
		}
		d.Keys++
		return d.write('K', uint64(len(value)), 4, key, value)
	})
}

func (d *dumper) bucket(name []byte, bucket *bolt.Bucket, depth int) error {
	d.Buckets++
	if err := d.write('B', bucket.Sequence(), 8, name, nil); err != nil {
		return err
	}
	if err := d.content(bucket, depth); err != nil {
		return err
	}
	return d.out.WriteByte('E')
}

// write puts out one item; its second number takes width bytes.
func (d *dumper) write(kind byte, number uint64, width int, name, value []byte) error {
	d.Bytes += int64(len(name) + len(value))
	header := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(name)))
	header = binary.LittleEndian.AppendUint64(header, number)[:5+width]
	for _, part := range [][]byte{header, name, value} {
		if _, err := d.out.Write(part); err != nil {
			return err
		}
	}
	return nil
}
