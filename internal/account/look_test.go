package account

import (
	"bufio"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// alike reports whether of two accounts the second is refused where the first exists.
func alike(a, b string) bool {
	x, y := LookOf(a), LookOf(b)
	return x.Folded == y.Folded || x.Cased == y.Cased
}

func TestLookAlikes(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"alice", "alice"}, {"Alice", "alice"}, {"ALICE", "alice"}, {"ａｌｉｃｅ", "alice"}, {"paypal", "раураl"}, {"paypal", "pаypal"}, {"paypal", "PAYPAL"},
		{"aIice", "alice"}, {"a1ice", "alice"}, {"AIice", "alice"}, {"b0b", "bob"}, {"B0B", "bob"}, {"modern", "modem"}, {"google", "gοοgle"},
		{"rené", "RENÉ"}, {"straße", "STRAẞE"}, {"ΟΔΟΣ", "οδος"}, {"ﬁsh", "fish"}, {"ⅷ", "Viii"}, {"дима", "ДИМА"}, {"ivan", "іvan"}, {"１２３", "l23"}, {"scope", "ѕсоре"},
		{"MAIL", "mail"}, {"Ⓐlice", "alice"}, {"𝒶lice", "alice"}, {"a\u200blice", "alice"},
	} {
		if !alike(pair[0], pair[1]) || !alike(pair[1], pair[0]) {
			t.Errorf("%s and %s aren't alike", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{
		{"alice", "bob"}, {"mail", "mall"}, {"rene", "rené"}, {"user1", "user2"}, {"a.b", "ab"}, {"张三", "张二"}, {"дима", "dima"}, {"anna", "ann"},
		{"u10", "u100"}, {"carol", "carl"}, {"straße", "strasse"}, {"a_b", "a-b"}, {"みき", "ミキ"},
	} {
		if alike(pair[0], pair[1]) {
			t.Errorf("%s and %s are alike", pair[0], pair[1])
		}
	}
}

func TestReserved(t *testing.T) {
	t.Parallel()
	r := Reserve([]string{"admin", "客服", "support"})
	for account, want := range map[string]bool{
		"admin": true, "Admin": true, "ADMIN": true, "аdmin": true, "ad.min": true, "admin_": true, "ａｄｍｉｎ": true, "客服": true, "客-服": true, "suppοrt": true,
		"admin1": false, "badmin": false, "administrative": false, "alice": false, "客服部": false,
	} {
		if r.Has(account) != want {
			t.Errorf("%s: %t", account, !want)
		}
	}
	if Reserve(nil).Has("admin") || (Reserved{}).Has("admin") {
		t.Error("nothing is reserved")
	}
}

// Every line of the table can be read, and is found.
func TestTable(t *testing.T) {
	t.Parallel()
	var lines []string
	scanner := bufio.NewScanner(strings.NewReader(confusables))
	for scanner.Scan() {
		if !strings.HasPrefix(scanner.Text(), "#") {
			lines = append(lines, scanner.Text())
		} else if len(lines) > 0 {
			t.Errorf("a comment in the table: %s", scanner.Text())
		}
	}
	if !slices.IsSorted(lines) || len(lines) < 5000 || !strings.Contains(confusables[:300], "# Version: ") {
		t.Errorf("%d lines, or not sorted, or of no version", len(lines))
	}
	for _, line := range lines {
		code, alike, _ := strings.Cut(line, " ")
		from, err := strconv.ParseInt(code, 16, 32)
		if err != nil || len(code) != 6 {
			t.Fatal(line, err)
		}
		var want, got strings.Builder
		for one := range strings.FieldsSeq(alike) {
			to, err := strconv.ParseInt(one, 16, 32)
			if err != nil || !utf8.ValidRune(rune(to)) {
				t.Fatal(line, err)
			}
			want.WriteRune(rune(to))
		}
		resemble(&got, rune(from))
		if got.String() != want.String() || want.Len() == 0 {
			t.Fatalf("%s is found as %q, want %q", line, got.String(), want.String())
		}
	}
	for _, r := range "az#\n \x00\U0010ffff" { // not in the table
		var got strings.Builder
		if resemble(&got, r); got.String() != string(r) {
			t.Errorf("%q resembles %q", r, got.String())
		}
	}
}

func FuzzLook(f *testing.F) {
	for _, text := range []string{"alice", "раураl", "ＡＢ", "ﷺ", "\xff", "", "ß", "İ"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !alike(text, Normal(text)) && utf8.ValidString(text) {
			t.Errorf("%q doesn't look like its normal spelling", text)
		}
	})
}
