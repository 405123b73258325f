package account_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"tim/internal/account"
)

// What people are called stays as they write it.
func TestNamesThatStay(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Alice", "张三", "-", "a b", "O'Brien", "😀", "\u0939\u093f\u0928\u094d\u0926\u0940",
		"👨\u200d👩\u200d👧\u200d👦", "👩🏽\u200d💻", "❤\ufe0f\u200d🔥", "🏳\ufe0f\u200d🌈", "🙂\u200d↔\ufe0f", "1\ufe0f\u20e3", "🇩🇪", "ℹ\ufe0f",
		"🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", // England
		"می\u200cخواهم", "نامه\u200cای", "ه\u200d", // Persian, and an abbreviation
		"क\u094d\u200dष", "क\u094d\u200cष", "ശ\u0d4d\u200d", "ක\u0dca\u200dර", // Devanagari, Malayalam, Sinhala
		"葛\U000e0101城", "\u1820\u180b", "∩\ufe00",
		"\u0600\u0661", // a number sign has a width although it is a format character
	} {
		if got, problem := account.NewName(name, 100); got != name || problem != "" {
			t.Errorf("%q becomes %q, %s", name, got, problem)
		}
	}
}

// What shows nothing is left out of a name.
func TestNamesThatAreCleaned(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		" Bob ": "Bob", "\u3000张三\u00a0": "张三", "Bob\u2800": "Bob", "\tBob\n": "Bob", "e\u0301": "é",
		"a\u200bb": "ab", "\u200bBob\ufeff": "Bob", "a\u200db": "ab", "a\u200cb": "ab", "\u200dمی": "می", "B\u00adob": "Bob",
		"\u200eBob\u200f": "Bob", "שלום\u200f": "שלום", "Bob\u061c": "Bob", "a\u2060\u2064b": "ab", "Bob\u3164": "Bob", "a\uffa0b": "ab",
		"a\ufe0f": "a", "张\u034f三": "张三", "a\U000e0101": "a", "😀\u200d": "😀", "\u200d😀": "😀", "a\U000e0067": "a", "😀\ufe0f\ufe0f": "😀\ufe0f",
		"می\u200c": "می", "می\u200c\u200cخ": "می\u200cخ", "e\u200d\u0301": "é", "क\u094d\u200d\u200dष": "क\u094d\u200dष",
		" \u200b Bob \u200b ": "Bob", "H" + strings.Repeat("\u0337", 40) + "i": "H" + strings.Repeat("\u0337", 8) + "i",
	} {
		got, problem := account.NewName(given, 100)
		if got != want || problem != "" {
			t.Errorf("%q becomes %q, %s, want %q", given, got, problem, want)
		}
		if normal := account.NormalName(given); normal != want {
			t.Errorf("%q is looked up as %q, want %q", given, normal, want)
		}
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", " ", "\u200b", "\u200b\u200b", "\u2060", "\u3164", "\u115f\u1160", "\u2800", "\u00a0", "\u3000", "\u0301", "\ufe0f", "\u200d", "\ufeff",
		"\U000e0041", "\U0001d159", "\U00013441", "\ufffc", "\u00ad", "\u180e", "\u17b4", "\u034f", "\u206a",
		"\u202eecila", "a\u202bb", "a\u2066b", "a\u2069", "a\x00b", "a\nb", "a\tb", "a\u0085b", "a\x1b[31mb", "a\u2028b", "a\ufffeb", "a\U0010ffffb", "\xff", "a\xed\xa0\x80",
	} {
		if got, problem := account.NewName(name, 100); problem == "" || got != "" {
			t.Errorf("%q becomes %q", name, got)
		}
	}
	long := strings.Repeat("\u0958", 26) // two characters each, in NFC
	if got, problem := account.NewName(long, 50); problem != "must have at most 50 characters" || got != "" {
		t.Errorf("%q, %s", got, problem)
	}
	if _, problem := account.NewName(strings.Repeat("é\u200b", 50), 50); problem != "" {
		t.Error(problem)
	}
}

func TestLabel(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"curl/8.5": "curl/8.5", "": "", "\u202egpj\x00\u200b": "gpj", "a\xffb": "a\ufffdb", "张三李四王五赵六钱": "张三李四王五赵六", "abcdefg h": "abcdefg",
	} {
		if got := account.Label(given, 8); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"a.jpg": "a.jpg", "报告 2026.pdf": "报告 2026.pdf", "e\u0301.txt": "é.txt", ".profile": ".profile", "👨\u200d👩\u200d👧.png": "👨\u200d👩\u200d👧.png",
		"../../etc/passwd": "passwd", `C:\Users\bob\a.doc`: "a.doc", "/": "", "..": "", ".": "", " . ": "", `..\`: "", "a/": "a", "a/..": "", "": "",
		"annexe\u202egpj.exe": "annexegpj.exe", "a\x00.txt": "a.txt", "a\r\nb.txt": "ab.txt", "\u200b": "", " a.txt ": "a.txt", "a\u200b.txt": "a.txt",
		"a\u2028b": "ab", "\xff.txt": "\ufffd.txt",
		strings.Repeat("x", 300) + ".jpg":           strings.Repeat("x", 251) + ".jpg",
		strings.Repeat("张", 100) + ".tar":           strings.Repeat("张", 83) + ".tar",
		"a." + strings.Repeat("x", 300):             "a." + strings.Repeat("x", 253),
		strings.Repeat("x", 250) + "/" + "short.md": "short.md",
	} {
		if got := account.FileName(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}

// FuzzNames: what is stored is stable, is no longer than may be, and holds nothing that was to go.
func FuzzNames(f *testing.F) {
	for _, text := range []string{"Alice", "👨\u200d👩\u200d👧", "می\u200cخواهم", "a\u202eb", "../x\u200b.jpg", "क\u094d\u200dष", "\ufe0f", "e\u200d\u0301", "\xff", strings.Repeat("é", 300) + ".x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, problem := account.NewName(text, 50)
		if problem == "" {
			if again, problem := account.NewName(name, 50); again != name || problem != "" {
				t.Errorf("%q becomes %q, then %q, %s", text, name, again, problem)
			}
			if !utf8.ValidString(name) || utf8.RuneCountInString(name) > 50 || strings.ContainsAny(name, "\x00\n\u202e\u200b\u2028") || strings.TrimSpace(name) != name || name == "" {
				t.Errorf("%q becomes %q", text, name)
			}
		}
		file := account.FileName(text)
		if again := account.FileName(file); again != file {
			t.Errorf("%q becomes %q, then %q", text, file, again)
		}
		if !utf8.ValidString(file) || len(file) > account.MaxFileName || strings.ContainsAny(file, "/\\\x00\n\u202e\u200b") || file == "." || file == ".." {
			t.Errorf("%q becomes %q", text, file)
		}
	})
}
