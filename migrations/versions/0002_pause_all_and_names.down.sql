-- It fails, and changes nothing, if two sequences have one name: rename one of them first.
DROP TABLE pauses;
