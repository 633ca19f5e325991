SELECT
    count(CASE WHEN line LIKE '%a%' THEN 1 END) AS lines_with_a,
    count(CASE WHEN line LIKE '%b%' THEN 1 END) AS lines_with_b
FROM 'lines/*.txt';
