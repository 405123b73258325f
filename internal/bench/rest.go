package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	rest "tim/gen/client"
	"tim/internal/client"
)

// RestOptions are those of `tim bench rest`.
//
//nolint:tagalign // the tags read as sentences
type RestOptions struct {
	Workers   int    `help:"How many accounts send requests, each when its last one is answered." default:"16" json:"workers"`
	Operation string `help:"The requests: send, history, conversations, or all of them in turn." enum:"all,send,history,conversations" default:"all" json:"operation"`
	Page      int    `help:"Messages of a page of history, at most 200." default:"50" json:"page"`
	Messages  int    `help:"How many messages each conversation has before the measuring begins." default:"100" json:"messages"`
	Bytes     int    `help:"Size of the texts." default:"100" json:"bytes"`
	Window
}

// worker sends requests over REST, one after the other. It alone writes to its conversation, so it knows every seq.
type worker struct {
	RestOptions
	b      *bench
	index  int
	person *person
	friend string
	last   int64 // the newest seq, 0 while it knows none
	number int64
	body   bytes.Buffer
	broken Promises
}

func (o RestOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	people, err := b.accounts(ctx, 2*o.Workers)
	if err != nil {
		return nil, err
	}
	var pairs [][2]*person
	var workers []*worker
	for i := range o.Workers {
		pairs = append(pairs, [2]*person{people[2*i], people[2*i+1]})
		workers = append(workers, &worker{RestOptions: o, b: b, index: i, person: people[2*i], friend: people[2*i+1].account})
	}
	if err := b.friends(ctx, pairs); err != nil {
		return nil, err
	}
	done := b.progress(fmt.Sprintf("each conversation gets %d messages", o.Messages))
	preparing := newRecorder()
	err = each(ctx, workers, o.Workers, func(ctx context.Context, w *worker) error {
		for range o.Messages {
			if err := w.send(ctx, preparing); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	done()
	rec := newRecorder()
	run, err := b.measure(ctx, rec, o.Window, func(ctx context.Context) error { return work(ctx, rec, workers) })
	if err != nil {
		return nil, err
	}
	for _, w := range workers {
		run.Promises.add(w.broken)
	}
	run.finishUnits(rec, "request", rec.done(sends)+rec.done(histories)+rec.done(lists))
	run.PerSecond = float64(run.Units) / run.Seconds
	return []Result{run}, nil
}

// work lets all workers send requests until ctx ends. They finish those that have begun.
func work(ctx context.Context, rec *recorder, workers []*worker) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(func() {
			ask := map[string][]func(context.Context, *recorder) error{
				"all": {w.send, w.history, w.conversations}, "send": {w.send}, "history": {w.history}, "conversations": {w.conversations},
			}[w.Operation]
			for i := w.index; ctx.Err() == nil; i++ {
				if err := ask[i%len(ask)](context.WithoutCancel(ctx), rec); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (w *worker) send(ctx context.Context, rec *recorder) error {
	due := w.b.clock.now()
	w.number++
	body := append([]byte(`{"to":`), client.UserTarget(w.friend)...)
	body = append(appendMessage(append(body, ','), w.number, stamp{w.b.run, due}, w.Bytes), '}')
	answer, err := w.ask(ctx, rec, http.MethodPost, "/Tim/sendMessage", bytes.NewReader(body))
	if err != nil || answer == nil {
		return err
	}
	rec.record(w.index, sends, due, w.b.clock.now())
	for key, data := range client.Members(answer) {
		if string(key) != "data" {
			continue
		}
		for key, value := range client.Members(data) {
			if string(key) == "seq" {
				w.follow(client.Number(value))
			}
		}
	}
	return nil
}

// follow compares a message's seq with the one before.
func (w *worker) follow(seq int64) {
	switch {
	case w.last == 0 || seq == w.last+1:
	case seq <= w.last:
		w.broken.OutOfOrder++
	default: // there are messages that the worker never sent
		w.broken.Doubled += seq - w.last - 1
	}
	w.last = max(w.last, seq)
}

// history reads a page at a random place of the conversation.
func (w *worker) history(ctx context.Context, rec *recorder) error {
	before := w.last + 1
	if w.last > int64(w.Page) {
		before -= rand.Int64N(w.last - int64(w.Page) + 1) //nolint:gosec // no secret
	}
	due := w.b.clock.now()
	query := url.Values{
		"account": {w.person.account}, "FriendAccount": {w.friend}, "before": {strconv.FormatInt(before, 10)}, "limit": {strconv.Itoa(w.Page)},
	}
	answer, err := w.ask(ctx, rec, http.MethodGet, "/Tim/getHistory?"+query.Encode(), nil)
	if err != nil || answer == nil {
		return err
	}
	rec.record(w.index, histories, due, w.b.clock.now())
	var page rest.HistoryDone
	if err := json.Unmarshal(answer, &page); err != nil {
		return fmt.Errorf("page of history: %w", err)
	}
	w.comparePage(page.Data.Messages, before)
	return nil
}

// comparePage checks a page: it has the messages before a seq, each once and in order.
func (w *worker) comparePage(messages []rest.Message, before int64) {
	want := min(int64(w.Page), before-1)
	w.broken.Lost += max(0, want-int64(len(messages)))
	for i, m := range messages {
		if m.Seq != before-int64(len(messages))+int64(i) {
			w.broken.OutOfOrder++
		}
	}
}

func (w *worker) conversations(ctx context.Context, rec *recorder) error {
	due := w.b.clock.now()
	answer, err := w.ask(ctx, rec, http.MethodGet, "/Tim/getConversations?account="+url.QueryEscape(w.person.account), nil)
	if err == nil && answer != nil {
		rec.record(w.index, lists, due, w.b.clock.now())
	}
	return err
}

// ask returns the body of an answer, which is valid until the next call; nil for a refusal, which it counts.
func (w *worker) ask(ctx context.Context, rec *recorder, method, path string, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.person.url+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("token", w.person.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := w.b.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	w.body.Reset()
	if _, err := w.body.ReadFrom(answer.Body); err != nil {
		return nil, fmt.Errorf("answer to %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		rec.countRefusal(answer.Status)
		return nil, nil
	}
	return w.body.Bytes(), nil
}
