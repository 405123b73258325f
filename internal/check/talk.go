package check

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tim/gen/api"
	"tim/gen/frames"
	"tim/internal/client"
)

const (
	againMean = 150 * time.Millisecond
	// In percent: how many attempts go over REST, how many acknowledged messages are sent again, and before how many messages the
	// conversation is marked as read.
	restAttempts = 20
	sentAgain    = 5
	markedRead   = 10
)

// Reasons of the spec by which a send is refused for good.
const (
	clientIDReused = "client_id_reused"
	notAMember     = "not_a_member"
)

// Reasons of the spec which say that the server can't serve.
const (
	internalError = "internal"
	unavailable   = "unavailable"
)

// noteErrorFrame notes an error frame whose reason says that the server can't serve.
func (t *trial) noteErrorFrame(f frames.Error) {
	if f.Reason == internalError || f.Reason == unavailable {
		t.results.failure("tim.v1: " + f.Reason)
	}
}

// talk lets all clients write until talking ends. A message that was begun is sent again until it is answered.
func (t *trial) talk(talking, living context.Context, talkers *sync.WaitGroup) {
	var speak []func(mean time.Duration)
	for _, a := range t.accounts {
		for _, d := range a.devices {
			speak = append(speak, func(mean time.Duration) { d.talk(talking, living, mean) })
		}
		if f := a.contractClient; f != nil {
			speak = append(speak, func(mean time.Duration) { f.talk(talking, mean) })
		}
	}
	mean := time.Duration(float64(len(speak)) / t.opts.Rate * float64(time.Second))
	for _, s := range speak {
		talkers.Go(func() { s(mean) })
	}
}

// talk writes at random intervals around mean, and sometimes marks what it has as read.
func (d *device) talk(talking, living context.Context, mean time.Duration) {
	random := d.t.random("talk " + d.name)
	token := ""
	for n := 1; sleep(talking, nil, randomAround(random, mean)); n++ {
		if token == "" { // a session for REST
			var err error
			if token, err = d.t.logIn(living, random, d.account.name); err != nil {
				continue
			}
		}
		c := d.t.choose(random, d.account)
		if random.IntN(100) < markedRead {
			d.markRead(living, c)
		}
		text := d.name + "-" + strconv.Itoa(n)
		s := &send{account: d.account, conversation: c, text: text, clientID: text}
		d.t.results.note(s)
		d.deliver(living, random, token, s)
	}
}

// choose chooses where an account writes. On a Galera cluster half of the messages go to the account's first group, so that nodes write
// to one conversation on several members at once.
func (t *trial) choose(random *rand.Rand, a *account) conversation {
	if t.opts.On == onGalera && random.IntN(2) == 0 {
		for _, c := range a.conversations {
			if c.target.Group != nil {
				return c
			}
		}
	}
	return a.conversations[random.IntN(len(a.conversations))]
}

// deliver sends a message again and again, over the socket or REST, until it is acknowledged or finally refused.
func (d *device) deliver(ctx context.Context, random *rand.Rand, token string, s *send) {
	ctx, cancel := context.WithTimeout(ctx, retryFor)
	defer cancel()
	for {
		overREST := random.IntN(100) < restAttempts
		seq, final, err := d.attempt(ctx, random, token, s, overREST)
		switch {
		case err == nil:
			d.t.results.acknowledge(s, seq)
			if random.IntN(100) >= sentAgain {
				return
			}
		case final:
			return
		}
		if !sleep(ctx, nil, randomAround(random, againMean)) {
			d.t.results.violation(fmt.Sprintf("%s could not be sent for %v: %v", s.text, retryFor, err))
			return
		}
	}
}

// attempt sends it once. final tells whether another attempt would be refused, too.
func (d *device) attempt(ctx context.Context, random *rand.Rand, token string, s *send, overREST bool) (seq int64, final bool, err error) {
	if overREST {
		return d.t.sendREST(ctx, random, token, s)
	}
	var body api.SendBody
	if err := body.FromTextBody(api.TextBody{Kind: api.TextBodyKindText, Text: s.text}); err != nil {
		return 0, true, err
	}
	answer, err := d.ask(ctx, func(id string) any {
		return frames.Send{Type: frames.SendTypeSend, ID: id, To: s.conversation.target, ClientID: s.clientID, Body: body}
	})
	if err != nil {
		return 0, false, err
	}
	switch a := answer.(type) {
	case frames.Sent:
		return a.Seq, false, nil
	case frames.Error:
		d.t.noteErrorFrame(a)
		if a.Reason == clientIDReused {
			d.t.results.violation("the same message was called another: " + s.text)
		}
		return 0, a.Reason == notAMember || a.Reason == clientIDReused, fmt.Errorf("refused: %s", a.Reason)
	default:
		return 0, false, fmt.Errorf("an answer of type %T", answer)
	}
}

func (t *trial) sendREST(ctx context.Context, random *rand.Rand, token string, s *send) (seq int64, final bool, err error) {
	c, err := client.NewREST(t.any(random).URL, token, t.http)
	if err != nil {
		return 0, true, err
	}
	seq, err = c.SendText(ctx, s.conversation.target, s.clientID, s.text)
	t.results.noteFailure("send over REST", err)
	if client.RefusedWith(err, http.StatusConflict) {
		t.results.violation("the same message was called another over REST: " + s.text)
	}
	final = client.RefusedWith(err, http.StatusForbidden) || client.RefusedWith(err, http.StatusConflict)
	return seq, final, err
}

// markRead marks what the device has as read. An acknowledged mark must never go back, except that a new membership has a new one.
func (d *device) markRead(ctx context.Context, c conversation) {
	seq := d.claims()[c.key]
	if seq == 0 {
		return
	}
	answer, err := d.ask(ctx, func(id string) any {
		return frames.Read{Type: frames.ReadTypeRead, ID: id, Conversation: c.target, Seq: seq}
	})
	if err != nil {
		return // nothing was acknowledged
	}
	if refused, ok := answer.(frames.Error); ok {
		d.t.noteErrorFrame(refused)
	}
	if marked, ok := answer.(frames.Marked); ok {
		if marked.Read < seq && !d.t.isGuest(d.account, c) { // who came back has a new mark, which begins later
			d.t.results.violation(fmt.Sprintf("a mark up to %d was answered with %d", seq, marked.Read))
		}
		d.t.results.marked(d.account.name, c.key, marked.Read)
	}
}
