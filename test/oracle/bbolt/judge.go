// The judge: gives file verbs to idle workers and holds the locks.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

type judge struct {
	idle  chan *worker  // workers waiting for a request
	slots chan struct{} // one token per worker that may still be started

	mutex    sync.Mutex
	locks    map[int64]*bolt.DB
	lastLock int64
}

func newJudge() *judge {
	j := &judge{
		idle:  make(chan *worker, workersMax),
		slots: make(chan struct{}, workersMax),
		locks: map[int64]*bolt.DB{},
	}
	for range workersMax {
		j.slots <- struct{}{}
	}
	return j
}

func (j *judge) handle(req request) (any, error) {
	switch req.Verb {
	case "version":
		return map[string]string{"bbolt": bboltVersion()}, nil
	case "lock":
		return j.lock(req)
	case "unlock":
		return j.unlock(req)
	case "waitOpen":
		return waitOpen(req)
	case "writeKey":
		return writeKey(req)
	}
	result, err := j.delegate(req)
	var death died
	if req.Verb == "check" && errors.As(err, &death) {
		return verdict{Errors: []string{death.why}}, nil
	}
	return result, err
}

func (j *judge) delegate(req request) (json.RawMessage, error) {
	w, err := j.takeWorker()
	if err != nil {
		return nil, err
	}
	result, err := w.ask(req)
	var death died
	if errors.As(err, &death) {
		j.slots <- struct{}{}
	} else {
		j.idle <- w
	}
	return result, err
}

func (j *judge) takeWorker() (*worker, error) {
	select {
	case w := <-j.idle:
		return w, nil
	default:
	}
	select {
	case w := <-j.idle:
		return w, nil
	case <-j.slots:
		w, err := startWorker()
		if err != nil {
			j.slots <- struct{}{}
		}
		return w, err
	}
}

// lock opens the file and keeps it open. A writer's open writes nothing, because no free list is asked for.
func (j *judge) lock(req request) (any, error) {
	db, err := open(req.Path, &bolt.Options{ReadOnly: req.Mode == "ro", NoFreelistSync: true}, lockTimeout(req))
	if err != nil {
		return nil, err
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.lastLock++
	j.locks[j.lastLock] = db
	return map[string]int64{"lock": j.lastLock}, nil
}

func (j *judge) unlock(req request) (any, error) {
	j.mutex.Lock()
	db := j.locks[req.Lock]
	delete(j.locks, req.Lock)
	j.mutex.Unlock()
	if db == nil {
		return nil, fmt.Errorf("no lock %d is held", req.Lock)
	}
	return map[string]bool{}, db.Close()
}

// waitOpen is the foreign program that waits for the lock of a file somebody else has open.
func waitOpen(req request) (any, error) {
	start := time.Now()
	db, err := open(req.Path, &bolt.Options{NoFreelistSync: true}, lockTimeout(req))
	result := map[string]any{"opened": err == nil, "waitedMs": time.Since(start).Milliseconds()}
	if err != nil {
		result["error"] = faultOf(err)
		return result, nil
	}
	return result, db.Close()
}

func bboltVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, module := range info.Deps {
			if module.Path == "go.etcd.io/bbolt" {
				return module.Version
			}
		}
	}
	return "unknown"
}
