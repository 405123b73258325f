-- +goose Up
-- Before this statement, internal/store/takeover.go drops rows that name an account that doesn't exist.
UPDATE "group" SET "creator" = NULL WHERE "creator" = '';
