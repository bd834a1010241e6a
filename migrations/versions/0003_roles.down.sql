REVOKE ALL ON ALL TABLES IN SCHEMA public FROM sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
REVOKE ALL ON SCHEMA public FROM sequence_api, sequence_pipeline, sequence_worker, sequence_readonly;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
