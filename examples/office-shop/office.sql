-- The office: an older schema with names of its own, and pictures that stay here.
CREATE TABLE Customers (
    CustomerID INT NOT NULL PRIMARY KEY,
    Name TEXT NOT NULL,
    Email TEXT,
    City TEXT
);
CREATE TABLE Products (
    ProductID INT NOT NULL PRIMARY KEY,
    Name TEXT NOT NULL,
    UnitPrice NUMERIC(10,2) NOT NULL,
    Stock INT NOT NULL,
    Picture BLOB
);
CREATE TABLE "Order Lines" (
    OrderID INT NOT NULL,
    LineNo INT NOT NULL,
    ProductID INT NOT NULL REFERENCES Products (ProductID),
    Qty INT NOT NULL,
    PRIMARY KEY (OrderID, LineNo)
);
INSERT INTO Customers VALUES
    (123, 'Yılmaz Tekstil', 'info@yilmaztekstil.example', 'Denizli'),
    (124, 'Güneş Eczanesi', 'gunes@eczane.example', 'Ankara');
INSERT INTO Products VALUES
    (789, 'Rulman 6204', 91.50, 350, x'ffd8ffe0'),
    (790, 'Koli bandı', 34.75, 1200, NULL);
INSERT INTO "Order Lines" VALUES (455, 1, 789, 24);
