DROP FUNCTION confirm_limit, keep_secret;
