-- +goose Up
-- join_policy: who may join by itself (open: anybody; invite, closed: nobody). members: how many accounts are members, NULL
-- until they are counted once. The index counts the groups that an account owns.
ALTER TABLE "group" ADD COLUMN "join_policy" TEXT NOT NULL DEFAULT 'open';
ALTER TABLE "group" ADD COLUMN "members" INTEGER;
CREATE INDEX "group_creator" ON "group" ("creator");

-- An account that was removed from a group and may not join it by itself. at and until are ms since 1970; an until of 0 is for ever.
CREATE TABLE "group_ban" (
  "GroupID" INTEGER NOT NULL,
  "account" TEXT NOT NULL,
  "actor" TEXT NOT NULL,
  "at" INTEGER NOT NULL,
  "until" INTEGER NOT NULL,
  PRIMARY KEY ("GroupID", "account")
) WITHOUT ROWID;

-- look, look_cased: hashes of what the account looks like, so that no other is registered that could be taken for it. NULL until
-- they are computed. groups_made counts the groups that it created on groups_day, the days since 1970 in UTC.
ALTER TABLE "user" ADD COLUMN "look" TEXT;
ALTER TABLE "user" ADD COLUMN "look_cased" TEXT;
ALTER TABLE "user" ADD COLUMN "groups_day" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "user" ADD COLUMN "groups_made" INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX "user_look" ON "user" ("look");
CREATE UNIQUE INDEX "user_look_cased" ON "user" ("look_cased");
