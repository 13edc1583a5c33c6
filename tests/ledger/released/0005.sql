BEGIN TRANSACTION;
CREATE TABLE attempts (
	call_id VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	tier TEXT NOT NULL, 
	provider TEXT, 
	model TEXT, 
	input_tokens BIGINT, 
	output_tokens BIGINT, 
	cached_tokens BIGINT, 
	cache_write_tokens BIGINT, 
	reasoning_tokens BIGINT, 
	usage_source VARCHAR(16), 
	price_id TEXT NOT NULL, 
	hour_price_nano BIGINT, 
	cost_nano BIGINT, 
	dry_run BOOLEAN NOT NULL, 
	confidence FLOAT, 
	fault TEXT, 
	ttft_ms FLOAT, 
	total_ms FLOAT NOT NULL, 
	error TEXT, started_ms FLOAT, machine_cost_nano BIGINT, cache_write_1h_tokens BIGINT, audio_input_tokens BIGINT, audio_output_tokens BIGINT, service_tier TEXT, 
	PRIMARY KEY (call_id, position), 
	FOREIGN KEY(call_id) REFERENCES calls (call_id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "attempts" VALUES('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f',0,'classifier','embedded-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'free',NULL,0,0,NULL,NULL,NULL,1.25,NULL,0.0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f',1,'draft','small','ollama','phi3:mini',120,30,0,0,0,'estimated','tier:small',600000000,151000,0,0.4,'low_confidence',NULL,903.5,NULL,1.5,151000,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f',2,'final','frontier','openai','gpt-4.1-2025-04-14',160,40,64,0,8,'reported','genai-prices:openai/gpt-4.1',NULL,544000,0,NULL,NULL,410.0,1804.0,NULL,905.5,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE budget_holds (
	hold_id VARCHAR(64) NOT NULL, 
	meter TEXT NOT NULL, 
	window_start BIGINT NOT NULL, 
	amount BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	PRIMARY KEY (hold_id, meter, window_start)
);
CREATE TABLE budget_meters (
	meter TEXT NOT NULL, 
	window_start BIGINT NOT NULL, 
	amount BIGINT NOT NULL, 
	PRIMARY KEY (meter, window_start)
);
CREATE TABLE calls (
	call_id VARCHAR(64) NOT NULL, 
	started_at DATETIME NOT NULL, 
	day VARCHAR(10) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	"key" TEXT, 
	tags TEXT NOT NULL, 
	category TEXT, 
	tier TEXT, 
	model TEXT, 
	reason VARCHAR(32), 
	score FLOAT, 
	confidence FLOAT, 
	escalated BOOLEAN NOT NULL, 
	degraded BOOLEAN NOT NULL, 
	classifier_version TEXT, 
	calibrator_version TEXT, 
	events TEXT NOT NULL, 
	cost_nano BIGINT, 
	priced_nano BIGINT NOT NULL, 
	unpriced INTEGER NOT NULL, 
	baseline_nano BIGINT, 
	saved_nano BIGINT, 
	projected_nano BIGINT, 
	price_version TEXT, 
	ttft_ms FLOAT, 
	total_ms FLOAT NOT NULL, 
	error TEXT, baseline_tier TEXT, 
	PRIMARY KEY (call_id)
);
INSERT INTO "calls" VALUES('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f','2026-03-01 12:30:15.250000','2026-03-01','ok','team-a','["billing", "category:extraction"]','extraction','frontier','gpt-4.1-2025-04-14','classified',0.31,NULL,1,0,'embedded-1','geometric-mean','["classifier_unavailable"]',695000,695000,0,464000,-231000,NULL,'genai-prices 0.2.3, own none',1400.0,2710.0,NULL,'frontier');
CREATE TABLE feedback (
	call_id VARCHAR(64) NOT NULL, 
	source VARCHAR(64) NOT NULL, 
	good BOOLEAN NOT NULL, 
	given_at DATETIME NOT NULL, 
	PRIMARY KEY (call_id, source)
);
INSERT INTO "feedback" VALUES('0b8f6d5d5c0f4c7f9d8e7a6b5c4d3e2f','user',0,'2026-03-01 12:31:00.000000');
CREATE TABLE losses (
	loss_id INTEGER NOT NULL, 
	noted_at DATETIME NOT NULL, 
	rows_lost BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (loss_id)
);
CREATE TABLE machine_time (
	tier TEXT NOT NULL, 
	writer VARCHAR(32) NOT NULL, 
	since_us BIGINT NOT NULL, 
	until_us BIGINT NOT NULL, 
	PRIMARY KEY (tier, writer, since_us)
);
CREATE TABLE slmroute_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT slmroute_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "slmroute_schema" VALUES('0005');
CREATE INDEX calls_started_at ON calls (started_at);
CREATE INDEX budget_holds_meter ON budget_holds (meter, window_start);
CREATE INDEX machine_time_until ON machine_time (tier, until_us);
COMMIT;
