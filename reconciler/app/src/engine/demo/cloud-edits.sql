INSERT INTO customers (customer_id, name, email, city) VALUES (126, 'Kaya Mobilya', 'bilgi@kayamobilya.example', 'Kayseri');
UPDATE products SET price = 102.50 WHERE product_id = 789;
UPDATE orders SET status = 'teslim edildi' WHERE order_id = 457;
UPDATE customers SET email = 'muhasebe@yilmaztekstil.example' WHERE customer_id = 123;
UPDATE products SET stock = 1150 WHERE product_id = 790;
