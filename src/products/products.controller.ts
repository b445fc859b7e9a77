import { Body, Controller, Delete, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { type VendorPrincipal, Caller } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersCreated, AnswersNothing, AnswersOne, AnswersPage, Fails } from '../core/openapi.js';
import { CreateProductBody, ProductsQuery, ProductView, UpdateProductBody } from './products.dto.js';
import { ProductsService } from './products.service.js';

@ApiTags('Products')
@Controller('api/v1/products')
export class ProductsController {
  constructor(private readonly products: ProductsService) {}

  @Post()
  @Requires('products:write')
  @AnswersCreated(ProductView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Create a product' })
  create(@Caller() { tenant }: VendorPrincipal, @Body() body: CreateProductBody) {
    return this.products.create(tenant, body);
  }

  @Get()
  @Requires('products:read')
  @AnswersPage(ProductView)
  @ApiOperation({ summary: 'List products', description: 'Newest first.' })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: ProductsQuery) {
    return this.products.list(tenant, query);
  }

  @Get(':id')
  @Requires('products:read')
  @AnswersOne(ProductView)
  @ApiOperation({ summary: 'Get a product' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.products.get(tenant, id);
  }

  @Patch(':id')
  @Requires('products:write')
  @AnswersOne(ProductView)
  @Fails('CONFLICT')
  @ApiOperation({ summary: 'Change a product', description: 'A new `keyPrefix` is for keys generated from then on.' })
  update(@Caller() { tenant }: VendorPrincipal, @PathId() id: string, @Body() body: UpdateProductBody) {
    return this.products.update(tenant, id, body);
  }

  @Delete(':id')
  @Requires('products:write')
  @AnswersNothing()
  @Fails('PRODUCT_HAS_LICENSES')
  @ApiOperation({ summary: 'Delete a product', description: 'Only without licenses.' })
  remove(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.products.remove(tenant, id);
  }
}
