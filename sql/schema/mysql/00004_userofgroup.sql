-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS `userofgroup` (
  `GroupID` int NOT NULL AUTO_INCREMENT,
  `account` varchar(100) NOT NULL,
  PRIMARY KEY (`GroupID`, `account`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
