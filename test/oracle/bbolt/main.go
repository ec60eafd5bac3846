// Command bbolt-judge is the outside judge of the tests: real bbolt behind one JSON object per line.
//
// A request is {"id", "verb", ...}; its answer is {"id", "result"} or {"id", "error": {"name", "message"}}. Answers come
// in any order. Verbs that read or write whole files run in worker processes of the same binary, because bbolt may
// fault, recurse without end or wait for ever on a damaged file: the worker dies, the judge answers. Locks are held by
// the judge itself. The end of the input ends everything.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
)

type request struct {
	ID             int64    `json:"id"`
	Verb           string   `json:"verb"`
	Path           string   `json:"path"`
	TimeoutMs      int      `json:"timeoutMs"`
	Out            string   `json:"out"`
	PageSize       int      `json:"pageSize"`
	Freelist       string   `json:"freelist"`
	NoFreelistSync bool     `json:"noFreelistSync"`
	Steps          []step   `json:"steps"`
	Generate       generate `json:"generate"`
	Mode           string   `json:"mode"`
	Lock           int64    `json:"lock"`
	Key            string   `json:"key"`
}

type response struct {
	ID     int64  `json:"id"`
	Result any    `json:"result,omitempty"`
	Error  *fault `json:"error,omitempty"`
}

type fault struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

var errUnknownVerb = errors.New("unknown verb")

func main() {
	handle := newJudge().handle
	concurrent := true
	if len(os.Args) > 1 && os.Args[1] == workerFlag {
		handle, concurrent = work, false
	}
	if err := serve(os.Stdin, os.Stdout, handle, concurrent); err != nil {
		os.Stderr.WriteString("bbolt-judge: " + err.Error() + "\n")
		os.Exit(1)
	}
}

// serve answers each line of in on out until in ends. A worker answers one at a time.
func serve(in io.Reader, out io.Writer, handle func(request) (any, error), concurrent bool) error {
	var writing sync.Mutex
	encoder := json.NewEncoder(out)
	answer := func(req request) {
		res := response{ID: req.ID}
		if result, err := handle(req); err != nil {
			res.Error = faultOf(err)
		} else {
			res.Result = result
		}
		writing.Lock()
		defer writing.Unlock()
		_ = encoder.Encode(res) // nobody is left to tell when the pipe is gone
	}
	decoder := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	for {
		var req request
		if err := decoder.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if concurrent {
			go answer(req)
		} else {
			answer(req)
		}
	}
}
