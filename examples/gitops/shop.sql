CREATE TABLE customers (
    customer_id INTEGER PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    city VARCHAR(40)
);
