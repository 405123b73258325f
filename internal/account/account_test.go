package account_test

import (
	"strings"
	"testing"

	"tim/internal/account"
)

func TestNormal(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"alice": "alice", "e\u0301": "\u00e9", "\u00e9": "\u00e9", "\u212b": "\u00c5", "张三": "张三", "a b": "a b", "A": "A", "": "",
	} {
		if got := account.Normal(given); got != want || account.Normal(got) != got {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
		if got := account.NormalName(given); got != want {
			t.Errorf("the name %q: %q, want %q", given, got, want)
		}
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		account    string
		valid, new bool
	}{
		{"alice", true, true},
		{"1", true, true},
		{"张三", true, true},
		{"a_b.c-d@e", true, true},
		{"a\u0301", true, true}, // a letter and a mark
		{"All", true, true},
		{strings.Repeat("é", 64), true, true},
		{strings.Repeat("é", 65), true, false},
		{"all", true, false},
		{"_a", true, false},
		{"@a", true, false},
		{"\u0301a", true, false},
		{"a b", true, false},
		{"a\u200b", true, false}, // shows nothing
		{"\u3164", true, false},
		{"a\uffa0", true, false},
		{"a\u1160b", true, false},
		{"a\u034f", true, false},
		{"a\ufe0f", true, false},
		{"a\U000e0101", true, false},
		{"a\u00a0", true, false},
		{"a\n", false, false},
		{"a\x00", false, false},
		{"a\u0085", false, false},
		{"a\x7f", false, false},
		{"\xff", false, false},
		{"", false, false},
	} {
		if got := account.Valid(tt.account); got != tt.valid {
			t.Errorf("%q: valid %v", tt.account, got)
		}
		if got := account.ValidNew(tt.account); got != tt.new {
			t.Errorf("%q: valid as a new one: %v", tt.account, got)
		}
	}
}

// FuzzNormal: the normal spelling is stable, and what may be registered is valid.
func FuzzNormal(f *testing.F) {
	for _, text := range []string{"alice", "e\u0301", "a\u200b", "\xff", "", "all"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		normal := account.Normal(text)
		if account.Normal(normal) != normal {
			t.Errorf("%q: %q isn't stable", text, normal)
		}
		if account.ValidNew(normal) && !account.Valid(normal) {
			t.Errorf("%q may be registered and isn't valid", text)
		}
	})
}

// Which accounts may be registered.
func TestNewAccountNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"a", "1", "ALL", "all1", "中文", "a_b", "a.b", "a-b", "a@b", "ü", "٣", "Ⅷ", "e\u0301", "\U00020000",
	} {
		if !account.ValidNew(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{
		"", "all", "_a", ".a", "-a", "@a", "a b", " a", "a\t", "a\n", "a\x00", "a\x7f", "a\u0085", "a\u200b", "a/b", "a%b", "a:b", "a'b", "😀",
		"a😀", "\u0301a", "a\u202eb", "\ufffd", "a\ufffd", "a\xff",
	} {
		if account.ValidNew(name) {
			t.Errorf("%q is taken", name)
		}
	}
}
