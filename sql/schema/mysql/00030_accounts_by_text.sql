-- +goose NO TRANSACTION
-- +goose Up
-- Before this statement, internal/store/takeover.go maps rows that name an account in another spelling, and drops those that name
-- none. A creator of no letters is none, too.
UPDATE `group` SET `creator` = NULL WHERE `creator` = '';
