DROP INDEX CONCURRENTLY IF EXISTS payments_by_example_score;
CREATE INDEX CONCURRENTLY payments_by_example_score ON payments (example_score, id);
ALTER TABLE payments VALIDATE CONSTRAINT payments_example_score_in_range;
