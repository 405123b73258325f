package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	accounts "tim/internal/account"
)

// The original compared accounts by a collation of the server, which ignores case, accents and spaces at the end, and its tables
// name accounts by text. Here accounts are compared by their bytes. A takeover writes accounts in their one spelling, maps the rows
// that name an account in another spelling, as the collation compared them, and drops those that name no account: whoever
// registered that account later would inherit them. It can be repeated. It works in pages, and keeps no more than a page in memory.

// Takeover says what a takeover has found, and what it makes of it.
type Takeover struct{ Findings []Finding }

// Finding is one kind of rows.
type Finding struct {
	What  string // what becomes of them
	Count int
	Rows  []string // the first of them, at most MostRows
}

// MostRows is the number of rows of one kind that a Takeover names.
const MostRows = 100

func (t *Takeover) addf(what, format string, args ...any) {
	for i := range t.Findings {
		if f := &t.Findings[i]; f.What == what {
			if f.Count++; len(f.Rows) < MostRows {
				f.Rows = append(f.Rows, fmt.Sprintf(format, args...))
			}
			return
		}
	}
	t.Findings = append(t.Findings, Finding{What: what, Count: 1, Rows: []string{fmt.Sprintf(format, args...)}})
}

const (
	takeoverPage = 500
	// The collation of the original's tables where nothing else is known: the tables of a database that 0.2.0 or earlier has
	// taken over don't tell it any more.
	originalCollation = "utf8mb4_general_ci"
	mostAccount       = 100 // characters of the column
	mostMapped        = 10000
)

// The kinds of findings.
const (
	foundRenamed  = "accounts that are now in Unicode's NFC"
	foundUnusable = "accounts that nobody can log in to, because another has the same NFC, or it is too long"
	foundPassword = "accounts whose plain passwords are erased; set new ones with `tim passwd`"
	foundFriend   = "friends that are mapped to the account's spelling"
	foundStranger = "friends that are dropped, because an account doesn't exist, or both are the same"
	foundMember   = "members of groups that are mapped to the account's spelling"
	foundOutsider = "members of groups that are dropped, because the account or the group doesn't exist"
	foundCreator  = "groups whose creator is mapped to the account's spelling"
	foundNobody   = "groups that have no owner any more, because the account doesn't exist; set one with `tim owner`"
)

// takeover uses one connection, which has temporary tables.
type takeover struct {
	conn      *sql.Conn
	mysql     bool
	change    bool   // or else it only reports
	collation string // by which the original compared accounts
	found     Takeover
	mapped    map[string]string // by the spelling in a row; "" for none
}

func (t *takeover) run(ctx context.Context) error {
	if ok, err := t.has(ctx, "user"); err != nil || !ok {
		return err
	}
	for _, step := range []func(context.Context) error{t.prepare, t.users, t.friends, t.members, t.creators, t.sides, t.sessions} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("rows that name accounts: %w", err)
		}
	}
	return t.drop(ctx)
}

func (t *takeover) exec(ctx context.Context, text string, args ...any) error {
	_, err := t.conn.ExecContext(ctx, text, args...)
	return err //nolint:wrapcheck // run wraps
}

func (t *takeover) write(ctx context.Context, text string, args ...any) error {
	if !t.change {
		return nil
	}
	return t.exec(ctx, text, args...)
}

// has reports whether a table exists. A report may run before anything is migrated.
func (t *takeover) has(ctx context.Context, table string) (bool, error) {
	var one int
	err := t.conn.QueryRowContext(ctx, "SELECT 1 FROM `"+table+"` LIMIT 1").Scan(&one)
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows):
		return true, nil
	case isMissingTable(err):
		return false, nil
	default:
		return false, err //nolint:wrapcheck // run wraps
	}
}

// bytes is the expression for a column's bytes in UTF-8.
func (t *takeover) bytes(column string) string {
	if t.mysql {
		return "CAST(CONVERT(" + column + " USING utf8mb4) AS BINARY)"
	}
	return "CAST(" + column + " AS TEXT)"
}

// prepare makes the temporary tables. tim_account has each account by its bytes and by the old collation; where it is renamed,
// the old spelling has a row without bytes. tim_odd has the rows of one kind that name no account by its bytes.
func (t *takeover) prepare(ctx context.Context) error {
	if err := t.drop(ctx); err != nil {
		return err
	}
	texts := []string{
		"CREATE TEMPORARY TABLE tim_account (id INTEGER, name TEXT, bytes TEXT, account TEXT)",
		"CREATE INDEX temp.tim_account_name ON tim_account (name)", "CREATE INDEX temp.tim_account_bytes ON tim_account (bytes)",
		"CREATE TEMPORARY TABLE tim_odd (n INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT, b TEXT, UNIQUE (a, b))",
	}
	if t.mysql {
		texts = []string{
			"CREATE TEMPORARY TABLE tim_account (n int NOT NULL AUTO_INCREMENT PRIMARY KEY, id int, name varchar(100) CHARACTER SET utf8mb4 COLLATE " + t.collation +
				", bytes varbinary(400), account varbinary(400), KEY (name), KEY (bytes)) ENGINE=InnoDB",
			"CREATE TEMPORARY TABLE tim_odd (n int NOT NULL AUTO_INCREMENT PRIMARY KEY, a varbinary(400), b varbinary(400)," +
				" UNIQUE KEY (a, b)) ENGINE=InnoDB",
		}
	}
	texts = append(texts, "INSERT INTO tim_account (id, name, bytes, account) SELECT id, account, "+t.bytes("account")+", "+
		t.bytes("account")+" FROM `user`")
	for _, text := range texts {
		if err := t.exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (t *takeover) drop(ctx context.Context) error {
	kind := ""
	if t.mysql {
		kind = "TEMPORARY "
	}
	for _, table := range []string{"tim_account", "tim_odd"} {
		if err := t.exec(ctx, "DROP "+kind+"TABLE IF EXISTS "+table); err != nil {
			return err
		}
	}
	return nil
}

// user is an account by its id.
type oldUser struct {
	id      int64
	account string
}

// users writes accounts in their one spelling.
func (t *takeover) users(ctx context.Context) error {
	for after := int64(-1 << 31); ; {
		page, err := t.usersAfter(ctx, after)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, u := range page {
			if normal := accounts.Normal(u.account); normal != u.account {
				if err := t.rename(ctx, u, normal); err != nil {
					return err
				}
			}
		}
		after = page[len(page)-1].id
	}
}

func (t *takeover) usersAfter(ctx context.Context, id int64) (page []oldUser, err error) {
	rows, err := t.conn.QueryContext(ctx, "SELECT id, account FROM `user` WHERE id > ? ORDER BY id LIMIT ?", id, takeoverPage)
	if err != nil {
		return nil, err //nolint:wrapcheck // run wraps
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	for rows.Next() {
		var u oldUser
		if err := rows.Scan(&u.id, &u.account); err != nil {
			return nil, err //nolint:wrapcheck // run wraps
		}
		page = append(page, u)
	}
	return page, rows.Err() //nolint:wrapcheck // run wraps
}

func (t *takeover) rename(ctx context.Context, u oldUser, normal string) error {
	other, err := t.lookUp(ctx, "SELECT account FROM tim_account WHERE bytes = ? LIMIT 1", normal)
	if err != nil {
		return err
	}
	if other != "" || utf8.RuneCountInString(normal) > mostAccount {
		t.found.addf(foundUnusable, "%+q", u.account)
		return nil
	}
	err = t.write(ctx, "UPDATE `user` SET account = ?, look = NULL, look_cased = NULL WHERE id = ?", normal, u.id)
	if IsDuplicate(err) { // they differ in spaces at the end
		t.found.addf(foundUnusable, "%+q", u.account)
		return nil
	}
	t.found.addf(foundRenamed, "%+q is %q", u.account, normal)
	for _, step := range []error{
		err,
		t.exec(ctx, "UPDATE tim_account SET bytes = NULL, account = ? WHERE id = ?", normal, u.id),
		t.exec(ctx, "INSERT INTO tim_account (id, name, bytes, account) VALUES (?, ?, ?, ?)", u.id, normal, normal, normal),
	} {
		if step != nil {
			return step
		}
	}
	return nil
}

// lookUp returns the first column of the first row, "" for none.
func (t *takeover) lookUp(ctx context.Context, text string, args ...any) (found string, err error) {
	err = t.conn.QueryRowContext(ctx, text, args...).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return found, err //nolint:wrapcheck // run wraps
}

// account returns the account that a row's text means, "" for none. Several accounts that the old collation takes for the same
// can only have come later; the oldest is meant.
func (t *takeover) account(ctx context.Context, text string) (string, error) {
	if found, ok := t.mapped[text]; ok {
		return found, nil
	}
	const byBytes, byName = "SELECT account FROM tim_account WHERE bytes = ? LIMIT 1", "SELECT account FROM tim_account WHERE name = ? ORDER BY id LIMIT 1"
	normal := accounts.Normal(text)
	ways := []struct{ query, text string }{{byBytes, text}, {byBytes, normal}}
	if t.mysql { // an embedded database has never compared otherwise
		ways = append(ways, struct{ query, text string }{byName, text}, struct{ query, text string }{byName, normal})
	}
	found := ""
	for _, way := range ways {
		var err error
		if found, err = t.lookUp(ctx, way.query, way.text); err != nil {
			return "", err
		}
		if found != "" {
			break
		}
	}
	if len(t.mapped) >= mostMapped {
		clear(t.mapped)
	}
	t.mapped[text] = found
	return found, nil
}

// odd is a row that names no account by its bytes: that text, or one of two, and the rest of the row's key.
type odd struct{ a, b string }

// stage collects rows in tim_odd: a and b of those rows of a table whose column of names is no account.
func (t *takeover) stage(ctx context.Context, table, a, b, names string) error {
	text := "INSERT OR IGNORE"
	if t.mysql {
		text = "INSERT IGNORE"
	}
	return t.exec(ctx, text+" INTO tim_odd (a, b) SELECT "+t.bytes("t."+a)+", "+t.bytes("t."+b)+" FROM `"+table+"` t LEFT JOIN tim_account u ON u.bytes = "+
		t.bytes("t."+names)+" WHERE u.id IS NULL AND t."+names+" IS NOT NULL ORDER BY 1, 2")
}

// each calls do with the collected rows, page by page, and empties tim_odd.
func (t *takeover) each(ctx context.Context, do func(context.Context, odd) error) error {
	for after := int64(0); ; {
		page, last, err := t.oddAfter(ctx, after)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return t.exec(ctx, "DELETE FROM tim_odd")
		}
		for _, row := range page {
			if err := do(ctx, row); err != nil {
				return err
			}
		}
		after = last
	}
}

func (t *takeover) oddAfter(ctx context.Context, after int64) (page []odd, last int64, err error) {
	rows, err := t.conn.QueryContext(ctx, "SELECT n, a, b FROM tim_odd WHERE n > ? ORDER BY n LIMIT ?", after, takeoverPage)
	if err != nil {
		return nil, 0, err //nolint:wrapcheck // run wraps
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	for rows.Next() {
		var row odd
		if err := rows.Scan(&last, &row.a, &row.b); err != nil {
			return nil, 0, err //nolint:wrapcheck // run wraps
		}
		page = append(page, row)
	}
	return page, last, rows.Err() //nolint:wrapcheck // run wraps
}

// move changes a row's key, and deletes the row where another has the new key.
func (t *takeover) move(ctx context.Context, table, keys, set string, is, was []any) error {
	err := t.write(ctx, "UPDATE "+table+" SET "+set+" WHERE "+keys, append(is, was...)...)
	if IsDuplicate(err) {
		return t.write(ctx, "DELETE FROM "+table+" WHERE "+keys, was...)
	}
	return err
}

func (t *takeover) friends(ctx context.Context) error {
	if ok, err := t.has(ctx, "friends"); err != nil || !ok {
		return err
	}
	for _, names := range []string{"`user`", "friend"} {
		if err := t.stage(ctx, "friends", "`user`", "friend", names); err != nil {
			return err
		}
	}
	return t.each(ctx, func(ctx context.Context, row odd) error {
		user, err := t.account(ctx, row.a)
		if err != nil {
			return err
		}
		friend, err := t.account(ctx, row.b)
		if err != nil {
			return err
		}
		const keys = "`user` = ? AND friend = ?"
		if user == "" || friend == "" || user == friend {
			t.found.addf(foundStranger, "%s and %s", strconv.Quote(row.a), strconv.Quote(row.b))
			return t.write(ctx, "DELETE FROM friends WHERE "+keys, row.a, row.b)
		}
		t.found.addf(foundFriend, "%+q and %+q are %q and %q", row.a, row.b, user, friend)
		return t.move(ctx, "friends", keys, "`user` = ?, friend = ?", []any{user, friend}, []any{row.a, row.b})
	})
}

func (t *takeover) members(ctx context.Context) error {
	if ok, err := t.has(ctx, "userofgroup"); err != nil || !ok {
		return err
	}
	const keys = "account = ? AND GroupID = ?"
	if err := t.withoutGroup(ctx, "userofgroup", "account", "GroupID"); err != nil {
		return err
	}
	err := t.each(ctx, func(ctx context.Context, row odd) error {
		t.found.addf(foundOutsider, "%q in %s", row.a, row.b)
		return t.write(ctx, "DELETE FROM userofgroup WHERE "+keys, row.a, row.b)
	})
	if err != nil {
		return err
	}
	if err := t.stage(ctx, "userofgroup", "account", "GroupID", "account"); err != nil {
		return err
	}
	return t.each(ctx, func(ctx context.Context, row odd) error {
		account, err := t.account(ctx, row.a)
		if err != nil {
			return err
		}
		if ok, err := t.lookUp(ctx, "SELECT GroupID FROM `group` WHERE GroupID = ?", row.b); err != nil || ok == "" {
			return err // found above
		}
		if account == "" {
			t.found.addf(foundOutsider, "%q in %s", row.a, row.b)
			err = t.write(ctx, "DELETE FROM userofgroup WHERE "+keys, row.a, row.b)
		} else {
			t.found.addf(foundMember, "%+q in %s is %q", row.a, row.b, account)
			err = t.move(ctx, "userofgroup", keys, "account = ?", []any{account}, []any{row.a, row.b})
		}
		return errors.Join(err, t.write(ctx, "UPDATE `group` SET members = NULL WHERE GroupID = ?", row.b))
	})
}

// withoutGroup collects rows of groups that don't exist. The next group with that number would have their members.
func (t *takeover) withoutGroup(ctx context.Context, table, a, group string) error {
	b := "conversation"
	if group == "GroupID" {
		b = group
	}
	return t.exec(ctx, "INSERT INTO tim_odd (a, b) SELECT "+t.bytes("t."+a)+", "+t.bytes("t."+b)+" FROM `"+table+"` t LEFT JOIN `group` g ON g.GroupID = t."+
		group+" WHERE g.GroupID IS NULL AND t."+group+" IS NOT NULL ORDER BY 1, 2")
}

func (t *takeover) creators(ctx context.Context) error {
	if ok, err := t.has(ctx, "group"); err != nil || !ok {
		return err
	}
	if err := t.stage(ctx, "group", "creator", "GroupID", "creator"); err != nil {
		return err
	}
	return t.each(ctx, func(ctx context.Context, row odd) error {
		creator, err := t.account(ctx, row.a)
		switch {
		case err != nil:
			return err
		case creator == "":
			t.found.addf(foundNobody, "%s, whose creator was %q", row.b, row.a)
			return t.write(ctx, "UPDATE `group` SET creator = NULL WHERE GroupID = ?", row.b)
		}
		t.found.addf(foundCreator, "%s: %+q is %q", row.b, row.a, creator)
		return t.write(ctx, "UPDATE `group` SET creator = ? WHERE GroupID = ?", creator, row.b)
	})
}

// sides follows with the rows of conversations that were made from members, and drops those of accounts that are gone.
func (t *takeover) sides(ctx context.Context) error {
	if ok, err := t.has(ctx, "participant"); err != nil || !ok {
		return err
	}
	const keys = "account = ? AND conversation = ?"
	if err := t.withoutGroup(ctx, "participant", "account", "group_id"); err != nil {
		return err
	}
	err := t.each(ctx, func(ctx context.Context, row odd) error {
		return t.write(ctx, "DELETE FROM participant WHERE "+keys, row.a, row.b)
	})
	if err != nil {
		return err
	}
	if err := t.stage(ctx, "participant", "account", "conversation", "account"); err != nil {
		return err
	}
	return t.each(ctx, func(ctx context.Context, row odd) error {
		account, err := t.account(ctx, row.a)
		switch {
		case err != nil:
			return err
		case account == "":
			return t.write(ctx, "DELETE FROM participant WHERE "+keys, row.a, row.b)
		}
		return t.move(ctx, "participant", keys, "account = ?", []any{account}, []any{row.a, row.b})
	})
}

// sessions ends the logins of accounts that are gone.
func (t *takeover) sessions(ctx context.Context) error {
	if ok, err := t.has(ctx, "session"); err != nil || !ok {
		return err
	}
	if err := t.stage(ctx, "session", "account", "id", "account"); err != nil {
		return err
	}
	return t.each(ctx, func(ctx context.Context, row odd) error {
		return t.write(ctx, "DELETE FROM `session` WHERE account = ? AND id = ?", row.a, row.b)
	})
}

// passwords names the accounts whose passwords the migration is going to erase: those that are no bcrypt hash.
func (t *takeover) passwords(ctx context.Context) error {
	if ok, err := t.has(ctx, "user"); err != nil || !ok || !t.mysql {
		return err
	}
	rows, err := t.conn.QueryContext(ctx, "SELECT account FROM `user` WHERE `password` NOT LIKE '$2_$__$%' OR CHAR_LENGTH(`password`) <> 60 ORDER BY id")
	if err != nil {
		return fmt.Errorf("plain passwords: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has the error
	for rows.Next() {
		var account string
		if err := rows.Scan(&account); err != nil {
			return fmt.Errorf("plain passwords: %w", err)
		}
		t.found.addf(foundPassword, "%q", account)
	}
	return rows.Err() //nolint:wrapcheck // the caller wraps
}
