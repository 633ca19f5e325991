SELECT sum(amount) AS total_sales FROM 'orders/*.json';
