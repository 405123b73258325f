-- +goose Up
CREATE TABLE "user" (
  "id" INTEGER PRIMARY KEY AUTOINCREMENT,
  "account" TEXT NOT NULL UNIQUE,
  "password" TEXT,
  "username" TEXT NOT NULL,
  "age" INTEGER,
  "sex" TEXT,
  "OnlineStatus" INTEGER DEFAULT 0
);
CREATE INDEX "user_username" ON "user" ("username");

CREATE TABLE "friends" (
  "user" TEXT NOT NULL,
  "friend" TEXT NOT NULL,
  PRIMARY KEY ("user", "friend")
) WITHOUT ROWID;

CREATE TABLE "group" (
  "GroupName" TEXT NOT NULL UNIQUE,
  "GroupID" INTEGER PRIMARY KEY AUTOINCREMENT,
  "creator" TEXT
);

-- joined_at (ms) tells who inherits a group: the oldest member.
CREATE TABLE "userofgroup" (
  "GroupID" INTEGER NOT NULL,
  "account" TEXT NOT NULL,
  "joined_at" INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY ("GroupID", "account")
) WITHOUT ROWID;
CREATE INDEX "userofgroup_account" ON "userofgroup" ("account", "GroupID");

-- A login. Times are milliseconds since 1970.
CREATE TABLE "session" (
  "account" TEXT NOT NULL,
  "id" TEXT NOT NULL,
  "device" TEXT NOT NULL,
  "created_at" INTEGER NOT NULL,
  "used_at" INTEGER NOT NULL,
  "expires_at" INTEGER NOT NULL,
  PRIMARY KEY ("account", "id")
) WITHOUT ROWID;

-- id: g<GroupID>, or d<hash of the two accounts>. last_seq numbers its messages 1, 2, 3 … without gaps.
CREATE TABLE "conversation" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "last_seq" INTEGER NOT NULL,
  "created_at" INTEGER NOT NULL
) WITHOUT ROWID;

-- client_id makes a retry of a send the same message; NULL for senders that know none. body is JSON.
CREATE TABLE "message" (
  "conversation" TEXT NOT NULL,
  "seq" INTEGER NOT NULL,
  "sender" TEXT NOT NULL,
  "client_id" TEXT,
  "body" TEXT NOT NULL,
  "sent_at" INTEGER NOT NULL,
  PRIMARY KEY ("conversation", "seq")
) WITHOUT ROWID;
CREATE UNIQUE INDEX "message_client_id" ON "message" ("conversation", "sender", "client_id") WHERE "client_id" IS NOT NULL;

-- One account's side of a conversation: who is opposite (peer or group_id), where it joined, and its marks.
-- delivered_seq: what the contract's sockets have confirmed; received_seq, read_seq: the marks others see.
CREATE TABLE "participant" (
  "account" TEXT NOT NULL,
  "conversation" TEXT NOT NULL,
  "peer" TEXT,
  "group_id" INTEGER,
  "joined_seq" INTEGER NOT NULL,
  "delivered_seq" INTEGER NOT NULL,
  "received_seq" INTEGER NOT NULL,
  "read_seq" INTEGER NOT NULL,
  PRIMARY KEY ("account", "conversation")
) WITHOUT ROWID;
