-- +goose Up
-- The newest generation of a session's tokens, when it began, and when a token of it was first used, 0 if none was. Times are
-- milliseconds since 1970. The generation of the login is 0, and needs no times.
ALTER TABLE "session" ADD COLUMN "generation" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "session" ADD COLUMN "renewed_at" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "session" ADD COLUMN "confirmed_at" INTEGER NOT NULL DEFAULT 0;

-- For deleting expired sessions, also those of accounts that never log in again.
CREATE INDEX "session_expires" ON "session" ("expires_at");
