-- The office, SQL Server: tables as the ERP made them, in two schemas, and keys that it numbers itself, from 100001 on.
CREATE SCHEMA depo;
GO
CREATE TABLE dbo.Customers (
    CustomerID INT IDENTITY(100121,1) NOT NULL PRIMARY KEY,
    Code NVARCHAR(20) NOT NULL UNIQUE,
    Name NVARCHAR(80) NOT NULL,
    Email NVARCHAR(80) NULL,
    City NVARCHAR(40) NULL,
    RiskLimiti MONEY NULL,
    Active BIT NOT NULL DEFAULT 1,
    RegisteredAt DATETIME2(3) NULL,
    Notes NVARCHAR(MAX) NULL,
    Version ROWVERSION
);
CREATE TABLE dbo.Products (
    ProductID INT NOT NULL PRIMARY KEY,
    RowGuid UNIQUEIDENTIFIER NOT NULL UNIQUE DEFAULT NEWID(),
    Name NVARCHAR(80) NOT NULL,
    UnitPrice DECIMAL(12,2) NOT NULL,
    VatRate DECIMAL(4,2) NOT NULL,
    Barcode VARCHAR(13) NULL,
    Picture VARBINARY(MAX) NULL
);
CREATE TABLE depo.Stok (
    ProductID INT NOT NULL REFERENCES dbo.Products (ProductID),
    Depo NVARCHAR(20) NOT NULL,
    Miktar DECIMAL(12,3) NOT NULL,
    CountedAt DATETIME NULL,
    PRIMARY KEY (ProductID, Depo)
);
CREATE TABLE dbo.Orders (
    OrderID INT IDENTITY(100455,1) NOT NULL PRIMARY KEY,
    CustomerID INT NOT NULL REFERENCES dbo.Customers (CustomerID),
    OrderedAt DATETIME NOT NULL,
    Status NVARCHAR(20) NOT NULL,
    Total MONEY NOT NULL
);
CREATE TABLE dbo.OrderItems (
    OrderID INT NOT NULL REFERENCES dbo.Orders (OrderID),
    [LineNo] INT NOT NULL,
    ProductID INT NOT NULL REFERENCES dbo.Products (ProductID),
    Quantity INT NOT NULL,
    UnitPrice DECIMAL(12,2) NOT NULL,
    PRIMARY KEY (OrderID, [LineNo])
);
GO
INSERT INTO dbo.Customers (Code, Name, Email, City, RiskLimiti, RegisteredAt, Notes) VALUES
    (N'C-0121', N'Çelik Makine Sanayi A.Ş.', N'satinalma@celikmakine.example', N'Bursa', 250000, '2019-03-04T10:00:00', N'Vadesi 60 gün'),
    (N'C-0122', N'Öztürk Gıda Ltd. Şti.', N'siparis@ozturkgida.example', N'İzmir', 75000.5, '2021-11-22T08:30:00', NULL),
    (N'C-0123', N'Yılmaz Tekstil', N'info@yilmaztekstil.example', N'Denizli', NULL, NULL, NULL);
INSERT INTO dbo.Products (ProductID, RowGuid, Name, UnitPrice, VatRate, Barcode, Picture) VALUES
    (787, '0E984725-C51C-4BF4-9960-E1C80E27ABA0', N'Zeytinyağı 5 L', 1249.90, 10, '8690000007876', NULL),
    (789, '6F9619FF-8B86-D011-B42D-00C04FC964FF', N'Rulman 6204', 91.50, 20, '8690000007890', 0xFFD8FFE0);
INSERT INTO depo.Stok (ProductID, Depo, Miktar, CountedAt) VALUES
    (787, N'Merkez', 40, '2026-01-10T18:00:00'),
    (789, N'Merkez', 350, '2026-01-10T18:05:00.003'),
    (789, N'Şube', 12.5, NULL);
INSERT INTO dbo.Orders (CustomerID, OrderedAt, Status, Total) VALUES (100123, '2026-01-13T11:20:00.007', N'kargoda', 3747.60);
INSERT INTO dbo.OrderItems (OrderID, [LineNo], ProductID, Quantity, UnitPrice) VALUES (100455, 1, 787, 2, 1249.90), (100455, 2, 789, 12, 91.50);
GO
