CREATE TABLE attempts (
    call_id character varying(64) NOT NULL,
    "position" integer NOT NULL,
    role character varying(16) NOT NULL,
    tier text NOT NULL,
    provider text,
    model text,
    input_tokens bigint,
    output_tokens bigint,
    cached_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    usage_source character varying(16),
    price_id text NOT NULL,
    hour_price_nano bigint,
    cost_nano bigint,
    dry_run boolean NOT NULL,
    confidence double precision,
    fault text,
    ttft_ms double precision,
    total_ms double precision NOT NULL,
    error text,
    started_ms double precision,
    machine_cost_nano bigint
);
CREATE TABLE budget_holds (
    hold_id character varying(64) NOT NULL,
    meter text NOT NULL,
    window_start bigint NOT NULL,
    amount bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE budget_meters (
    meter text NOT NULL,
    window_start bigint NOT NULL,
    amount bigint NOT NULL
);
CREATE TABLE calls (
    call_id character varying(64) NOT NULL,
    started_at timestamp with time zone NOT NULL,
    day character varying(10) NOT NULL,
    status character varying(16) NOT NULL,
    key text,
    tags text NOT NULL,
    category text,
    tier text,
    model text,
    reason character varying(32),
    score double precision,
    confidence double precision,
    escalated boolean NOT NULL,
    degraded boolean NOT NULL,
    classifier_version text,
    calibrator_version text,
    events text NOT NULL,
    cost_nano bigint,
    priced_nano bigint NOT NULL,
    unpriced integer NOT NULL,
    baseline_nano bigint,
    saved_nano bigint,
    projected_nano bigint,
    price_version text,
    ttft_ms double precision,
    total_ms double precision NOT NULL,
    error text,
    baseline_tier text
);
CREATE TABLE feedback (
    call_id character varying(64) NOT NULL,
    source character varying(64) NOT NULL,
    good boolean NOT NULL,
    given_at timestamp with time zone NOT NULL
);
CREATE TABLE losses (
    loss_id integer NOT NULL,
    noted_at timestamp with time zone NOT NULL,
    rows_lost bigint NOT NULL,
    reason text NOT NULL
);
CREATE SEQUENCE losses_loss_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE losses_loss_id_seq OWNED BY losses.loss_id;
CREATE TABLE slmroute_schema (
    version_num character varying(32) NOT NULL
);
ALTER TABLE ONLY losses ALTER COLUMN loss_id SET DEFAULT nextval('losses_loss_id_seq'::regclass);
INSERT INTO attempts VALUES ('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f', 0, 'classifier', 'embedded-1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'free', NULL, 0, false, NULL, NULL, NULL, 1.25, NULL, 0, NULL);
INSERT INTO attempts VALUES ('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f', 1, 'draft', 'small', 'ollama', 'phi3:mini', 120, 30, 0, 0, 0, 'estimated', 'tier:small', 600000000, 151000, false, 0.4, 'low_confidence', NULL, 903.5, NULL, 1.5, 151000);
INSERT INTO attempts VALUES ('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f', 2, 'final', 'frontier', 'openai', 'gpt-4.1-2025-04-14', 160, 40, 64, 0, 8, 'reported', 'genai-prices:openai/gpt-4.1', NULL, 544000, false, NULL, NULL, 410, 1804, NULL, 905.5, NULL);
INSERT INTO calls VALUES ('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f', '2026-03-01 12:30:15.25+00', '2026-03-01', 'ok', 'team-a', '["billing", "category:extraction"]', 'extraction', 'frontier', 'gpt-4.1-2025-04-14', 'classified', 0.31, NULL, true, false, 'embedded-1', 'geometric-mean', '["classifier_unavailable"]', 695000, 695000, 0, 464000, -231000, NULL, 'genai-prices 0.2.3, own none', 1400, 2710, NULL, 'frontier');
INSERT INTO feedback VALUES ('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f', 'user', false, '2026-03-01 12:31:00+00');
INSERT INTO slmroute_schema VALUES ('0003');
ALTER TABLE ONLY attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (call_id, "position");
ALTER TABLE ONLY budget_holds
    ADD CONSTRAINT budget_holds_pkey PRIMARY KEY (hold_id, meter, window_start);
ALTER TABLE ONLY budget_meters
    ADD CONSTRAINT budget_meters_pkey PRIMARY KEY (meter, window_start);
ALTER TABLE ONLY calls
    ADD CONSTRAINT calls_pkey PRIMARY KEY (call_id);
ALTER TABLE ONLY feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY (call_id, source);
ALTER TABLE ONLY losses
    ADD CONSTRAINT losses_pkey PRIMARY KEY (loss_id);
ALTER TABLE ONLY slmroute_schema
    ADD CONSTRAINT slmroute_schema_pkc PRIMARY KEY (version_num);
CREATE INDEX budget_holds_meter ON budget_holds USING btree (meter, window_start);
CREATE INDEX calls_started_at ON calls USING btree (started_at);
ALTER TABLE ONLY attempts
    ADD CONSTRAINT attempts_call_id_fkey FOREIGN KEY (call_id) REFERENCES calls(call_id) ON DELETE CASCADE;
