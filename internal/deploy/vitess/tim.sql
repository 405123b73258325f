-- The tables of the lookup vindexes, in the keyspace tim. They keep looks and names of groups unique on all shards together.
CREATE TABLE look_of_user (
  look varchar(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  keyspace_id varbinary(16) DEFAULT NULL,
  PRIMARY KEY (look)
) ENGINE=InnoDB;
CREATE TABLE cased_look_of_user (
  look varchar(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  keyspace_id varbinary(16) DEFAULT NULL,
  PRIMARY KEY (look)
) ENGINE=InnoDB;
CREATE TABLE name_of_group (
  name varchar(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  keyspace_id varbinary(16) DEFAULT NULL,
  PRIMARY KEY (name)
) ENGINE=InnoDB;
