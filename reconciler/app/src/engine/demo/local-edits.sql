INSERT INTO orders (order_id, customer_id, product_id, quantity, status) VALUES (458, 125, 790, 300, 'yeni');
UPDATE orders SET quantity = 30 WHERE order_id = 455;
UPDATE customers SET is_deleted = 1 WHERE customer_id = 124;
UPDATE customers SET email = 'yeni@yilmaztekstil.example' WHERE customer_id = 123;
UPDATE products SET stock = 1080 WHERE product_id = 790;
