-- Set when a job has signed something that anyone may broadcast: from then on it can be cancelled no more.
ALTER TABLE jobrunner.jobs ADD COLUMN irrevocable_at timestamptz;

-- An account of one chain; whoever gives out its nonces holds its row. `genesis` is the hash of the chain's block 0.
CREATE TABLE jobrunner.signers (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  chain_id  bigint NOT NULL,
  genesis   text NOT NULL,
  address   text NOT NULL,
  signed_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (chain_id, genesis, address)
);

-- One call that must be in the chain once. A refused one gave its nonce back.
CREATE TABLE jobrunner.mints (
  key        text PRIMARY KEY,
  job_id     uuid REFERENCES jobrunner.jobs (id) ON DELETE SET NULL,
  signer_id  bigint NOT NULL REFERENCES jobrunner.signers (id),
  nonce      bigint,
  state      text NOT NULL CHECK (state IN ('signed', 'mined', 'reverted', 'refused', 'taken')),
  target     text,
  data       text NOT NULL,
  gas        bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (signer_id, nonce),
  CHECK ((nonce IS NULL) = (state = 'refused'))
);
CREATE INDEX mints_of_job ON jobrunner.mints (job_id);

-- All that was ever signed for a mint. The signed bytes are no secret: they are made to be given to everybody.
CREATE TABLE jobrunner.transactions (
  mint_key  text NOT NULL REFERENCES jobrunner.mints (key),
  hash      text NOT NULL,
  number    integer NOT NULL,
  nonce     bigint NOT NULL,
  raw       text NOT NULL,
  max_wei   bigint NOT NULL,
  tip_wei   bigint NOT NULL,
  signed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (mint_key, hash),
  UNIQUE (mint_key, number)
);

CREATE VIEW jobrunner.signed_mints AS
  SELECT mint.key, mint.job_id, mint.nonce, mint.state, mint.target, mint.data, mint.gas,
         signer.chain_id, signer.genesis, signer.address,
         (SELECT jsonb_agg(jsonb_build_object(
                   'hash', hash, 'raw', raw, 'nonce', signed.nonce, 'max_wei', max_wei, 'tip_wei', tip_wei,
                   'age_s', extract(epoch FROM now() - signed.signed_at)) ORDER BY number)
          FROM jobrunner.transactions AS signed WHERE mint_key = mint.key) AS transactions
  FROM jobrunner.mints AS mint JOIN jobrunner.signers AS signer ON signer.id = mint.signer_id;
