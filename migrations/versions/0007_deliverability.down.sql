DROP FUNCTION keep_secret;
