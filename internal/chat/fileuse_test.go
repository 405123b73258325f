package chat

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"tim/gen/db"
)

func TestFileIDs(t *testing.T) {
	t.Parallel()
	const id, other = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "234567ABCDEFGHIJKLMNOPQRST"
	name := "2026-11-27:22:58:02-" + id
	for text, want := range map[string][]string{
		"":      nil,
		"hello": nil,
		"你好，" + strings.Repeat("世界", 100): nil,
		name:              {id},
		name + ".jpg":     {id},
		"看 " + name + "！": {id},
		strings.ReplaceAll(strings.ReplaceAll(name, ":", "%3A"), "-", "%2D"):                  {id},
		"http://host/downloadchatpic?filename=2026-11-27%253A22%253A58%253A02-" + id + "&x=1": {id},
		"2026_11_27 22.58.02 " + id:                 {id},
		name + " " + "2026-11-27:22:58:02-" + other: {id, other},
		name + name:                    {id, id},
		id[:25]:                        nil,
		strings.ToLower(name):          nil,
		strings.Repeat("A", 70):        {strings.Repeat("A", 26)},
		`\u0041` + id[1:]:              {id},
		`\u00zz` + `\u00` + " " + name: {id},
	} {
		got := fileIDs(text)
		for _, one := range want {
			if !slices.Contains(got, one) {
				t.Errorf("%q: %v", text, got)
			}
		}
		if len(want) == 0 && len(got) > 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
	// Wherever it stands.
	for before := range 80 {
		for after := range 30 {
			if got := fileIDs(strings.Repeat("x", before) + id + strings.Repeat(".", after)); !slices.Equal(got, []string{id}) {
				t.Fatalf("behind %d: %v", before, got)
			}
		}
	}
	if n := len(fileIDs(strings.Repeat(name+" ", 2000))); n != maxFileIDs {
		t.Errorf("%d ids of one message", n)
	}
}

func FuzzFileIDs(f *testing.F) {
	f.Add("2026-11-27:22:58:02-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	f.Add(`\u0041\u00`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, id := range fileIDs(body) {
			if len(id) != fileID || strings.ContainsFunc(id, func(r rune) bool { return r > 127 || !inFileID(byte(r)) }) {
				t.Errorf("%q", id)
			}
		}
		if id := "ABCDEFGHIJKLMNOPQRSTUVWXYZ"; !strings.Contains(body, `\u00`) && len(body) < 1000 && !slices.Contains(fileIDs(body+"-"+id), id) && len(fileIDs(body)) < maxFileIDs {
			t.Errorf("not found behind %q", body)
		}
	})
}

// A message that names a file is written down in its transaction, by whatever way it comes; others write nothing.
func TestFileUses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, h *house) {
		h.register(t, "alice", "bob")
		h.befriend(t, "alice", "bob")
		const id, unknown = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ"
		must(t, h.DB.Write().AddFile(t.Context(), db.AddFileParams{
			ID: id, Kind: "picture", Name: "2026-11-27:22:58:02-" + id, Owner: "alice", Size: 1, CheckedAt: sql.NullInt64{Int64: 1, Valid: true},
		}))
		to := ToUser("bob")
		send := func(c Content) int64 {
			m, err := h.Send(t.Context(), "alice", to, c, "")
			must(t, err)
			return m.Seq
		}
		use := func() []db.FileUseRow {
			rows, err := h.DB.Read().FileUse(t.Context(), id)
			must(t, err)
			return rows
		}
		send(TextContent("hello"))
		send(TextContent("2026-11-27:22:58:02-" + unknown))
		if rows := use(); len(rows) > 0 {
			t.Errorf("used by %v", rows)
		}
		seq := send(TextContent("2026-11-27:22:58:02-" + id + "-" + id))
		if rows := use(); len(rows) != 1 || rows[0].Seq != seq || rows[0].Conversation != to.Conversation("alice") {
			t.Errorf("used by %v, want %d", rows, seq)
		}
		rows, err := h.DB.Read().FilesToCheck(t.Context(), sql.NullInt64{Int64: time.Now().Add(-time.Hour).UnixMilli(), Valid: true}, 10)
		must(t, err)
		if len(rows) > 0 {
			t.Errorf("its time wasn't renewed: %v", rows)
		}
		must(t, h.DB.Write().DeleteFileUses(context.Background(), id))
		send(Content{Body: []byte(`{"kind":"image","file":"2026-11-27:22:58:02-` + id + `"}`)})
		if rows := use(); len(rows) != 1 {
			t.Errorf("used by %v", rows)
		}
	})
}

func BenchmarkFileIDs(b *testing.B) {
	body := TextContent(strings.Repeat("a text as people write it, ", 4)).encode()
	for b.Loop() {
		fileIDs(body)
	}
}
