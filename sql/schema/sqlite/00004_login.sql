-- +goose Up
-- An address or device from which an account has logged in, as a keyed hash. used_at is ms since 1970, to the day.
CREATE TABLE "place" (
  "account" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "used_at" INTEGER NOT NULL,
  PRIMARY KEY ("account", "id")
) WITHOUT ROWID;

-- An invitation code, as its SHA-256. uses counts the accounts that it may still make. Times are ms since 1970.
CREATE TABLE "invite" (
  "code" TEXT NOT NULL PRIMARY KEY,
  "uses" INTEGER NOT NULL,
  "made_at" INTEGER NOT NULL,
  "expires_at" INTEGER NOT NULL
) WITHOUT ROWID;
