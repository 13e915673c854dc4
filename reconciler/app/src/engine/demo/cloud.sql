INSERT INTO customers (customer_id, name, email, city, created_at, updated_at) VALUES
 (121, 'Çelik Makine Sanayi A.Ş.', 'satinalma@celikmakine.example', 'Bursa', '2026-01-05 09:12:00', '2026-01-05 09:12:00'),
 (122, 'Öztürk Gıda Ltd. Şti.', 'siparis@ozturkgida.example', 'İzmir', '2026-01-06 10:40:00', '2026-01-06 10:40:00'),
 (123, 'Yılmaz Tekstil', 'info@yilmaztekstil.example', 'Denizli', '2026-01-07 14:05:00', '2026-01-07 14:05:00'),
 (124, 'Güneş Eczanesi', 'gunes@eczane.example', 'Ankara', '2026-01-08 08:30:00', '2026-01-08 08:30:00'),
 (125, 'Şahin Nakliyat', 'filo@sahinnakliyat.example', 'Mersin', '2026-01-09 16:20:00', '2026-01-09 16:20:00');
INSERT INTO products (product_id, name, price, stock, created_at, updated_at) VALUES
 (787, 'Zeytinyağı 5 L', 1249.90, 40, '2026-01-05 09:00:00', '2026-01-05 09:00:00'),
 (788, 'Pamuklu kumaş, metre', 185.50, 900, '2026-01-05 09:00:00', '2026-01-05 09:00:00'),
 (789, 'Rulman 6204', 96.00, 350, '2026-01-05 09:00:00', '2026-01-05 09:00:00'),
 (790, 'Koli bandı', 34.75, 1200, '2026-01-05 09:00:00', '2026-01-05 09:00:00');
INSERT INTO orders (order_id, customer_id, product_id, quantity, status, created_at, updated_at) VALUES
 (455, 121, 789, 24, 'hazırlanıyor', '2026-01-12 11:00:00', '2026-01-12 11:00:00'),
 (456, 122, 787, 6, 'hazırlanıyor', '2026-01-12 11:30:00', '2026-01-12 11:30:00'),
 (457, 123, 788, 150, 'kargoda', '2026-01-12 15:45:00', '2026-01-12 15:45:00');
