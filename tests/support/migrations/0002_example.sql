CREATE TABLE example_notes (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid        NOT NULL,
    note       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE payments ADD COLUMN example_score integer;
ALTER TABLE payments ADD CONSTRAINT payments_example_score_in_range CHECK (example_score BETWEEN 0 AND 100) NOT VALID;
