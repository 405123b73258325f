package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
)

// envelope is what travels over Redis: 17 bytes for a kind, the sending node and a number, and in a message the payload. A new
// layout needs new kinds: a node ignores kinds that it doesn't know.
type envelope struct {
	kind kind
	from nodeID
	// number counts this node's messages in this lane, in a message; in a beat or goodbye, those of them that Redis didn't
	// take.
	number  uint64
	payload []byte
}

type kind byte

const (
	kindMessage kind = 'm'
	kindBeat    kind = 'b' // the node is alive
	kindGoodbye kind = 'g' // the node ends
)

// nodeID names one run of one node.
type nodeID [8]byte

const envelopeHead = 1 + len(nodeID{}) + 8

var errEnvelope = errors.New("not an envelope of this version")

func newNodeID() (id nodeID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func (e envelope) encode() []byte {
	b := make([]byte, 0, envelopeHead+len(e.payload))
	b = append(b, byte(e.kind))
	b = append(b, e.from[:]...)
	b = binary.BigEndian.AppendUint64(b, e.number)
	return append(b, e.payload...)
}

func decode(b []byte) (envelope, error) {
	if len(b) < envelopeHead {
		return envelope{}, errEnvelope
	}
	e := envelope{
		kind:    kind(b[0]),
		from:    nodeID(b[1:]),
		number:  binary.BigEndian.Uint64(b[1+len(nodeID{}):]),
		payload: b[envelopeHead:],
	}
	switch e.kind {
	case kindMessage, kindBeat, kindGoodbye:
		return e, nil
	}
	return envelope{}, errEnvelope
}
