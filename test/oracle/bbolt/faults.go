// Errors by name: bbolt's own sentinels keep the name they have in bbolt.
package main

import (
	"errors"

	berrors "go.etcd.io/bbolt/errors"
)

var names = []struct {
	err  error
	name string
}{
	{berrors.ErrBucketExists, "ErrBucketExists"},
	{berrors.ErrBucketNameRequired, "ErrBucketNameRequired"},
	{berrors.ErrBucketNotFound, "ErrBucketNotFound"},
	{berrors.ErrChecksum, "ErrChecksum"},
	{berrors.ErrIncompatibleValue, "ErrIncompatibleValue"},
	{berrors.ErrInvalid, "ErrInvalid"},
	{berrors.ErrKeyRequired, "ErrKeyRequired"},
	{berrors.ErrKeyTooLarge, "ErrKeyTooLarge"},
	{berrors.ErrMaxSizeReached, "ErrMaxSizeReached"},
	{berrors.ErrTimeout, "ErrTimeout"},
	{berrors.ErrValueTooLarge, "ErrValueTooLarge"},
	{berrors.ErrVersionMismatch, "ErrVersionMismatch"},
}

func (f *fault) Error() string { return f.Message }

func faultOf(err error) *fault {
	var known *fault
	if errors.As(err, &known) {
		return known
	}
	for _, entry := range names {
		if errors.Is(err, entry.err) {
			return &fault{entry.name, err.Error()}
		}
	}
	var death died
	if errors.As(err, &death) {
		return &fault{"Died", death.why}
	}
	return &fault{"Error", err.Error()}
}
