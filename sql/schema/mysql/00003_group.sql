-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS `group` (
  `GroupName` varchar(50) NOT NULL,
  `GroupID` int NOT NULL AUTO_INCREMENT,
  `creator` varchar(50) DEFAULT NULL,
  PRIMARY KEY (`GroupID`),
  UNIQUE KEY `Group_GroupName_uindex` (`GroupName`),
  UNIQUE KEY `group_GroupID_uindex` (`GroupID`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
