package chat

import (
	"context"
	"strings"
	"time"

	"tim/internal/store"
)

const (
	// fileID is the length of the random part of a stored file's name. It consists of A to Z and 2 to 7.
	fileID = 26
	// maxFileIDs bounds the ids that are looked for in one message.
	maxFileIDs = 256
	// maxRun is the length up to which every part of a run of such characters may be an id. Of a longer one only the beginning and
	// the end may be.
	maxRun = 64
)

// fileIDs returns what may be the ids of files in a stored body, in whatever spelling the rest of a name is: percent-encoded,
// escaped, or a part of a link. Most bodies have nothing like it, and cost a look at every 26th byte.
func fileIDs(body string) (ids []string) {
	if strings.Contains(body, `\u00`) { // letters may be escaped
		body = unescaped(body)
	}
	for at := fileID - 1; at < len(body); {
		if !inFileID(body[at]) {
			at += fileID
			continue
		}
		begin, end := at, at+1
		for begin > 0 && inFileID(body[begin-1]) {
			begin--
		}
		for end < len(body) && inFileID(body[end]) {
			end++
		}
		ids = appendParts(ids, body[begin:end])
		at = end + fileID - 1 // what ends before that is shorter
	}
	return ids
}

// appendParts appends the parts of a run that may be ids.
func appendParts(ids []string, run string) []string {
	step := 1
	if len(run) > maxRun {
		step = len(run) - fileID
	}
	for i := 0; i+fileID <= len(run) && len(ids) < maxFileIDs; i += step {
		ids = append(ids, run[i:i+fileID])
	}
	return ids
}

func inFileID(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '2' && c <= '7' }

// unescaped replaces the escapes \u0000 to \u00ff of JSON by their last byte, which is the character where it is ASCII.
func unescaped(body string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(body, `\u00`)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		high, low := -1, -1
		if len(after) >= 2 { //nolint:mnd // two digits
			high, low = hexDigit(after[0]), hexDigit(after[1])
		}
		if high < 0 || low < 0 {
			out.WriteString(`\u00`)
			body = after
			continue
		}
		out.WriteByte(byte(high<<4 | low)) //nolint:gosec // two digits of 4 bits
		body = after[2:]
	}
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

// noteFiles writes down which messages of the batch name files. A batch without anything like a name costs no statement.
func (b *batchTx) noteFiles(ctx context.Context) error {
	if len(b.uses) == 0 {
		return nil
	}
	return b.tx.NoteFileUses(ctx, b.uses, time.Now().UnixMilli())
}

// addUses notes the files that a draft names, each once. A name's parts may be met twice.
func (b *batchTx) addUses(d *draft, seq int64) {
	first := len(b.uses)
next:
	for _, id := range d.files {
		for _, use := range b.uses[first:] {
			if use.File == id {
				continue next
			}
		}
		b.uses = append(b.uses, store.FileUse{File: id, Conversation: d.conversation, Seq: seq, Group: d.target.Group})
	}
}
