package check

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tim/internal/client"
)

// contractClient is a client of the contract's sockets: a chat socket, and a socket for each conversation. Each of them ends and is
// opened again independently.
type contractClient struct {
	t         *trial
	account   *account
	clientLog *clientLog

	mu    sync.Mutex
	token string
	conns map[string]*client.Conn // by conversation; those that are open
}

func (t *trial) newContractClient(a *account) *contractClient {
	return &contractClient{t: t, account: a, clientLog: t.results.open(a, a.name, true), conns: make(map[string]*client.Conn)}
}

func (f *contractClient) live(ctx context.Context) {
	var sockets sync.WaitGroup
	defer sockets.Wait()
	sockets.Go(func() { f.keep(ctx, conversation{}) })
	for _, c := range f.account.conversations {
		sockets.Go(func() { f.keep(ctx, c) })
	}
}

// path returns the path of a conversation's socket; of the chat socket for a conversation without a key.
func (f *contractClient) path(c conversation) string {
	switch {
	case c.target.Group != nil:
		return "/websocket/" + strconv.Itoa(int(*c.target.Group)) + "/" + f.account.name
	case c.target.User != nil:
		return "/websocket/OneToOne/" + f.account.name + "/" + *c.target.User
	default:
		return "/websocket/" + f.account.name
	}
}

// keep opens a socket again whenever it has ended.
func (f *contractClient) keep(ctx context.Context, c conversation) {
	random := f.t.random("front " + f.account.name + " " + c.key)
	for ctx.Err() == nil {
		token, err := f.session(ctx, random)
		if err == nil {
			var conn *client.Conn
			conn, err = f.t.dial(ctx, f.t.any(random), f.path(c), token, "")
			if client.RefusedWith(err, http.StatusUnauthorized) {
				f.forget(token)
			}
			if err == nil {
				f.visit(ctx, random, c, conn)
			}
		}
		sleep(ctx, nil, randomAround(random, awayMean))
	}
}

// session returns the token that all sockets share.
func (f *contractClient) session(ctx context.Context, random *rand.Rand) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token != "" {
		return f.token, nil
	}
	token, err := f.t.logIn(ctx, random, f.account.name)
	f.token = token
	return token, err
}

func (f *contractClient) forget(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.token == token {
		f.token = ""
	}
}

// visit reads a socket until it ends. After some time the client ends it, cleanly or not.
func (f *contractClient) visit(ctx context.Context, random *rand.Rand, c conversation, conn *client.Conn) {
	visit := f.clientLog.arrive()
	f.opened(c, conn)
	visiting, over := context.WithCancel(ctx)
	defer context.AfterFunc(visiting, conn.Close)()
	var leaving sync.WaitGroup
	defer leaving.Wait()
	defer over()
	defer f.closed(c, conn)
	after, clean := randomAround(random, visitMean), random.IntN(2) == 0
	var saidGoodbye atomic.Bool
	leaving.Go(func() {
		switch {
		case !sleep(visiting, f.t.faultsOver, after):
		case clean:
			saidGoodbye.Store(true)
			conn.CloseCleanly()
		default:
			conn.Reset()
		}
	})
	for {
		frame, err := conn.Read()
		if err != nil {
			f.t.results.noteClose(f.path(c), err)
			if saidGoodbye.Load() && wasAnswered(err) && f.t.faults.databaseIsFine() {
				f.clientLog.leftCleanly(visit)
			}
			return
		}
		if c.key != "" {
			f.take(c, visit, frame)
		}
	}
}

// wasAnswered tells whether the server has answered the client's close frame. Then the server knows that the client has read
// everything before the answer. When the server closes first, it can't know whether the client's answer arrived.
func wasAnswered(err error) bool {
	const normal = 1000 // RFC 6455
	return client.CloseCode(err) == normal
}

func (f *contractClient) take(c conversation, visit int, frame []byte) {
	m, isMessage, err := f.t.spec.Message(frame)
	if err != nil {
		f.t.results.violation("a frame that is not as the spec has it: " + string(frame[:min(len(frame), 300)]))
	}
	if isMessage {
		f.clientLog.receive(c.key, heard{hash: fingerprint(m.FromUser, m.Message), at: time.Now(), visit: visit})
	}
}

func (f *contractClient) opened(c conversation, conn *client.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.key != "" {
		f.conns[c.key] = conn
	}
}

func (f *contractClient) closed(c conversation, conn *client.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns[c.key] == conn {
		delete(f.conns, c.key)
	}
}

// talk writes to conversations whose sockets are open, at random intervals around mean. These sockets have no acknowledgement, so a
// message may be lost on the way; it isn't sent again.
func (f *contractClient) talk(talking context.Context, mean time.Duration) {
	random := f.t.random("talk " + f.account.name)
	for n := 1; sleep(talking, nil, randomAround(random, mean)); n++ {
		c := f.t.choose(random, f.account)
		f.mu.Lock()
		conn := f.conns[c.key]
		f.mu.Unlock()
		if conn != nil {
			_ = conn.Send([]byte(strings.Join([]string{f.account.name, strconv.Itoa(n)}, "-"))) // the reader notices a broken connection
		}
	}
}
