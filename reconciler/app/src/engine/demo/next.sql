UPDATE customers SET city = 'Adana' WHERE customer_id = 125
