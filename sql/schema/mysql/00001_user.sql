-- +goose NO TRANSACTION
-- +goose Up
-- The seed's table: present when its database is taken over, made here otherwise.
CREATE TABLE IF NOT EXISTS `user` (
  `id` int NOT NULL AUTO_INCREMENT,
  `account` varchar(100) NOT NULL,
  `password` varchar(500) DEFAULT NULL,
  `username` varchar(100) NOT NULL,
  `age` int DEFAULT NULL,
  `sex` varchar(100) DEFAULT NULL,
  `OnlineStatus` int DEFAULT '0',
  PRIMARY KEY (`id`),
  UNIQUE KEY `user_account_uindex` (`account`),
  UNIQUE KEY `user_id_uindex` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
