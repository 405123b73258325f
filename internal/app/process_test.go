package app_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tim/internal/app"
	"tim/internal/apptest"
)

// environment passes settings to the real binary as an operator does.
func environment(s app.Settings) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TIM_LISTEN=127.0.0.1:0", "TIM_ADMIN_LISTEN=", "TIM_BCRYPT_COST=4", "TIM_LOG_FORMAT=json",
		"TIM_LIMIT_SEND_RATE=0", "TIM_DATA_DIR=" + s.DataDir,
	}
	for name, value := range map[string]string{
		"TIM_MYSQL_DSN": s.MySQLDSN, "TIM_REDIS_URL": s.RedisURL, "TIM_JWT_KEY": s.JWTKey, "TIM_S3_ENDPOINT": s.S3Endpoint,
		"TIM_S3_ACCESS_KEY": s.S3AccessKey, "TIM_S3_SECRET_KEY": s.S3SecretKey, "TIM_S3_BUCKET": s.S3Bucket,
	} {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// process is the real binary, serving.
type process struct {
	*site
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and its log was read
	err  error         // how it ended; valid after done
}

// spawn starts `tim serve` and waits until it listens.
func spawn(t testing.TB, settings app.Settings) *process {
	t.Helper()
	return spawnBy(t, settings, exec.Command(timBinary(t), "serve"))
}

// spawnBy starts the server by a command.
func spawnBy(t testing.TB, settings app.Settings, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	p.cmd.Env = environment(settings)
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	log, listening := &apptest.Log{}, make(chan string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewReader(io.TeeReader(stderr, log))
		for {
			line, err := lines.ReadString('\n')
			var said struct {
				Msg     string `json:"msg"`
				Address string `json:"address"`
			}
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "listening" {
				listening <- said.Address
			}
			if err != nil {
				break
			}
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	select {
	case address := <-listening:
		p.site = attach(t, settings, "http://"+address, log)
	case <-p.done:
		t.Fatalf("it ended: %v\n%s", p.err, log)
	case <-time.After(time.Minute):
		t.Fatalf("it doesn't listen:\n%s", log)
	}
	return p
}

// kill ends the process as a power cut would, unless it has ended.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	<-p.done
}

// tim runs one of the operator's commands and returns its output.
func tim(t testing.TB, settings app.Settings, input string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), timBinary(t), args...)
	cmd.Env, cmd.Stdin = environment(settings), strings.NewReader(input)
	var out, errs apptest.Log
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// echoes collects the frames of a sender's socket until the socket breaks.
type echoes struct {
	mu   sync.Mutex
	seen []string // "sender text", in order
}

func (e *echoes) add(m message) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, m.FromUser+" "+m.Message)
	return len(e.seen)
}
