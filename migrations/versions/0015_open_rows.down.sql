DROP INDEX sends_with_reason;
