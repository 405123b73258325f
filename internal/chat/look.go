package chat

import (
	"context"
	"fmt"
	"slices"

	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// Two accounts that can be taken for each other aren't both registered: the columns look and look_cased of a user hold what the
// account looks like, each under a unique key. Users of before get theirs from FillLooks. Those of them that look like an earlier
// one stay, with a mark instead.

// mustLookNew refuses an account that could be taken for one that exists.
func (s *Service) mustLookNew(ctx context.Context, account string) error {
	look := accounts.LookOf(account)
	alike, err := s.DB.Read().LookAlikes(ctx, nullable(look.Folded), nullable(look.Cased))
	if err != nil {
		return fmt.Errorf("look-alikes: %w", err)
	}
	switch {
	case slices.Contains(alike, account): // it has been registered a moment ago
		return fault.New(fault.AccountTaken)
	case len(alike) > 0:
		return fault.New(fault.AccountTooSimilar)
	}
	return nil
}

// whyTaken returns the fault for an account that can't be created because of one that exists.
func (s *Service) whyTaken(ctx context.Context, account string) error {
	_, err := s.account(ctx, s.DB.Read(), account)
	switch {
	case err == nil:
		return fault.New(fault.AccountTaken)
	case fault.Is(err, fault.UnknownAccount):
		return fault.New(fault.AccountTooSimilar)
	default:
		return err
	}
}

// looksPage is how many users FillLooks changes in a transaction.
const looksPage = 200

// FillLooks notes what the users look like that were there before looks were, or that a node of an older version has made. It
// goes through them in pages, by their ids, and may be called on several nodes at once, and again. It returns how many users it
// changed.
func (s *Service) FillLooks(ctx context.Context) (filled int, err error) {
	for after := int32(0); ; {
		rows, err := s.DB.Read().UsersWithoutLook(ctx, after, looksPage)
		if err != nil {
			return filled, fmt.Errorf("users without a look: %w", err)
		}
		err = s.DB.Tx(ctx, func(tx *store.Tx) error {
			for _, row := range rows {
				if err := setLook(ctx, tx, row.Account); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return filled, fmt.Errorf("note looks: %w", err)
		}
		filled += len(rows)
		if len(rows) < looksPage {
			return filled, nil
		}
		after = rows[len(rows)-1].ID
	}
}

// setLook notes what a user looks like. Where another user has the same look, the user gets a mark that no look equals.
func setLook(ctx context.Context, tx *store.Tx, account string) (err error) {
	look, mark := accounts.LookOf(account), "="+accounts.Digest(account)
	for _, try := range []accounts.Look{look, {Folded: mark, Cased: look.Cased}, {Folded: look.Folded, Cased: mark}, {Folded: mark, Cased: mark}} {
		err = tx.SetLook(ctx, nullable(try.Folded), nullable(try.Cased), account)
		if !store.IsDuplicate(err) {
			return err
		}
	}
	return err
}
