-- The shop: names with underscores, prices of two decimals. Plain SQL, for PostgreSQL and SQLite.
CREATE TABLE customers (
    customer_id INT NOT NULL PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    email VARCHAR(80),
    city VARCHAR(40)
);
CREATE TABLE products (
    product_id INT NOT NULL PRIMARY KEY,
    name VARCHAR(80) NOT NULL,
    price NUMERIC(10,2) NOT NULL,
    stock INT NOT NULL
);
CREATE TABLE order_lines (
    order_id INT NOT NULL,
    line_no INT NOT NULL,
    product_id INT NOT NULL REFERENCES products (product_id),
    quantity INT NOT NULL,
    PRIMARY KEY (order_id, line_no)
);
INSERT INTO customers VALUES
    (121, 'Çelik Makine Sanayi A.Ş.', 'satinalma@celikmakine.example', 'Bursa'),
    (122, 'Öztürk Gıda Ltd. Şti.', 'siparis@ozturkgida.example', 'İzmir'),
    (123, 'Yılmaz Tekstil', 'info@yilmaztekstil.example', 'Denizli');
INSERT INTO products VALUES
    (787, 'Zeytinyağı 5 L', 1249.90, 40),
    (789, 'Rulman 6204', 96.00, 350);
INSERT INTO order_lines VALUES (455, 1, 789, 24), (455, 2, 787, 2);
