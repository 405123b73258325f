-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS `friends` (
  `user` varchar(100) NOT NULL,
  `friend` varchar(100) NOT NULL,
  PRIMARY KEY (`user`, `friend`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
