-- The demo's customers: deterministic, no NULLs, spread as train.py spreads its training set.
-- The caller puts the row count in place of the one placeholder below.
DROP TABLE IF EXISTS customers;

CREATE TABLE customers (
  customer_id     bigint PRIMARY KEY,
  tenure          integer NOT NULL,          -- months
  monthly_charges double precision NOT NULL, -- dollars
  total_charges   double precision NOT NULL  -- dollars, since joining
);

-- u, v, w: a multiplicative hash of i for each column, in [0, 1). Only + - * / and floor, so any server gives the same bits.
INSERT INTO customers (customer_id, tenure, monthly_charges, total_charges)
SELECT i, tenure, monthly, floor(tenure * monthly * (0.9::float8 + 0.2::float8 * w) * 100 + 0.5) / 100
FROM (
  SELECT i, w,
         CAST(1 + floor(72 * (0.35::float8 * u + 0.65::float8 * u * u)) AS integer) AS tenure,
         floor((18.25::float8 + 100.5::float8 * (1.4::float8 * v - 0.4::float8 * v * v)) * 100 + 0.5) / 100 AS monthly
  FROM (
    SELECT i,
           (i * 2654435761 % 4294967296)::float8 / 4294967296 AS u,
           (i * 2246822519 % 4294967296)::float8 / 4294967296 AS v,
           (i * 3266489917 % 4294967296)::float8 / 4294967296 AS w
    FROM generate_series(1::bigint, :rows) AS i
  ) AS hashed
) AS priced;
