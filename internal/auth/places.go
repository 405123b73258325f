package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"tim/gen/db"
	"tim/internal/store"
)

const (
	// placeLife is for how long an address or device stays known after its last login.
	placeLife = 90 * 24 * time.Hour
	// placeTouch is the precision of the time of the last login, so that most logins write nothing.
	placeTouch = 24 * time.Hour
	// maxPlaces bounds the known addresses and devices of an account, two for each device. The newest stay.
	maxPlaces = 40
)

// place is from where somebody tries an account's password, as keys of buckets: the account, the address, the account at the
// address, and the device at that address that claims to be the account's.
type place struct{ account, address, pair, device string }

func (a *Auth) place(account, address, userAgent string) place {
	address = network(address)
	pair := account + "\x00" + address
	return place{account: account, address: address, pair: pair, device: pair + "\x00" + userAgent}
}

// ids are the names under which the database has a place: neither addresses nor devices can be read from them.
func (a *Auth) ids(p place) (address, device string) {
	return a.placeID("address\x00" + p.pair), a.placeID("device\x00" + p.device)
}

func (a *Auth) placeID(text string) string {
	mac := hmac.New(sha256.New, a.placeKey)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// acquaintance is what the database knows of a place.
type acquaintance struct {
	rows            []db.PlacesRow // all of the account
	address, device bool           // whether the account has logged in from there
}

func (a *Auth) known(ctx context.Context, p place) (acquaintance, error) {
	rows, err := a.DB.Read().Places(ctx, p.account)
	if err != nil {
		return acquaintance{}, fmt.Errorf("known devices: %w", err)
	}
	known, since := acquaintance{rows: rows}, time.Now().Add(-placeLife).UnixMilli()
	address, device := a.ids(p)
	for _, row := range rows {
		if row.UsedAt >= since {
			known.address = known.address || row.ID == address
			known.device = known.device || row.ID == device
		}
	}
	return known, nil
}

func (a acquaintance) rank() rank {
	if a.device {
		return ofKnownDevice
	}
	return ofLogin
}

// remember notes that the account has logged in from a place. It fails in silence but for the log: the login is good all the same.
func (a *Auth) remember(ctx context.Context, p place, known acquaintance) {
	address, device := a.ids(p)
	if err := a.note(ctx, p.account, known.rows, address, device); err != nil {
		a.Log.Warn("a device was not remembered", "account", p.account, "err", err)
	}
}

// note writes the ids that aren't among rows, or not since today, and deletes what is too old or too many.
func (a *Auth) note(ctx context.Context, account string, rows []db.PlacesRow, ids ...string) error {
	now := time.Now()
	stale := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return slices.ContainsFunc(rows, func(r db.PlacesRow) bool {
			return r.ID == id && r.UsedAt > now.Add(-placeTouch).UnixMilli()
		})
	})
	if len(stale) == 0 {
		return nil
	}
	others := slices.DeleteFunc(rows, func(r db.PlacesRow) bool { return slices.Contains(ids, r.ID) })
	slices.SortFunc(others, func(x, y db.PlacesRow) int { return cmp.Compare(y.UsedAt, x.UsedAt) })
	keep := 0
	for keep < min(len(others), maxPlaces-len(stale)) && others[keep].UsedAt >= now.Add(-placeLife).UnixMilli() {
		keep++
	}
	err := a.DB.Tx(ctx, func(tx *store.Tx) error {
		for _, row := range others[keep:] {
			if err := tx.ForgetPlace(ctx, account, row.ID); err != nil {
				return err
			}
		}
		for _, id := range stale {
			if err := tx.NotePlace(ctx, account, id, now.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note devices: %w", err)
	}
	return nil
}
