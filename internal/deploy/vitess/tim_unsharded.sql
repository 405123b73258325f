-- The sequences, in the keyspace tim_unsharded. A tablet takes 100 numbers at a time; those that it hasn't given out when it ends are lost.
CREATE TABLE user_numbers (id bigint NOT NULL, next_id bigint, cache bigint, PRIMARY KEY (id)) COMMENT 'vitess_sequence';
INSERT INTO user_numbers (id, next_id, cache) VALUES (0, 1, 100);
CREATE TABLE group_numbers (id bigint NOT NULL, next_id bigint, cache bigint, PRIMARY KEY (id)) COMMENT 'vitess_sequence';
INSERT INTO group_numbers (id, next_id, cache) VALUES (0, 1, 100);
