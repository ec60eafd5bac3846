// Worker processes: spawned on demand, reused one request at a time, killed at their time limit.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	workerFlag       = "-worker"
	workersMax       = 4
	defaultTimeLimit = 60 * time.Second
)

// died is the answer of a worker that did not live to give one.
type died struct{ why string }

func (d died) Error() string { return d.why }

type worker struct {
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	errors  *bytes.Buffer
}

func startWorker() (*worker, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{command: exec.Command(executable, workerFlag), errors: new(bytes.Buffer)}
	w.command.Stderr = w.errors
	if w.input, err = w.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.output = bufio.NewReaderSize(output, 1<<16)
	return w, w.command.Start()
}

// ask sends one request. After a died error the worker is gone and must not be used again.
func (w *worker) ask(req request) (json.RawMessage, error) {
	limit := defaultTimeLimit
	if req.TimeoutMs > 0 {
		limit = time.Duration(req.TimeoutMs) * time.Millisecond
	}
	timer := time.AfterFunc(limit, func() { _ = w.command.Process.Kill() })
	line, err := w.exchange(req)
	inTime := timer.Stop()
	if err != nil || !inTime {
		_ = w.command.Process.Kill()
		_ = w.command.Wait()
		if !inTime {
			return nil, died{fmt.Sprintf("no verdict within %v", limit)}
		}
		return nil, died{"bbolt died: " + firstLines(w.errors.String(), 3)}
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *fault          `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return answer.Result, nil
}

func (w *worker) exchange(req request) ([]byte, error) {
	line, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	if _, err := w.input.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	return w.output.ReadBytes('\n')
}

func firstLines(text string, count int) string {
	lines := strings.SplitN(strings.TrimSpace(text), "\n", count+1)
	return strings.Join(lines[:min(count, len(lines))], "; ")
}
